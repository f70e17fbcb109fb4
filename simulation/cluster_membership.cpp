#include "simulation/cluster.hpp"

#include "simulation/ledger_tensors.hpp"
#include "simulation/naming.hpp"

#include <algorithm>

namespace troupe::simulation {

namespace {

constexpr instant collect_interval = 200;
constexpr instant greeting_interval = 40;

} // namespace

// -- membership ---------------------------------------------------------------

void cluster::plan_issued(const plan& p) {
  if (!watch_.plan_sent(p)) return;
  for (auto& e : scenario_.membership)
    if (e.step == p.step) events_.in(e.delay, [this, e] { change_members(e); });
}

void cluster::change_members(const membership_event& e) {
  switch (e.what) {
    case membership_event::kind::joins: return join();
    case membership_event::kind::leaves: return drain(e.draw);
    case membership_event::kind::dies: return die(e.draw);
  }
}

/// A node asks to join, is let in, and builds its host.
void cluster::join() {
  const auto request = join_request_of(static_cast<node_id>(coordinator_->core.nodes().size() + 1));
  const auto let_in = coordinator_->core.join(request, "simulated");
  if (!let_in) return watch_.violated(let_in.error().text);
  note("-- node " + std::to_string(let_in->node) + " joins");
  events_.in(network_.delay(), [this, node = let_in->node] {
    auto* host = add<host_member>(
      greeting_interval, host_address(node), place{node}, stray(),
      host_settings{current_term, node, scenario_.config.model.experts, true, scenario_.defects});
    host->released = [this, node] { events_.in(0, [this, node] { node_gone(node); }); };
    watch_host(*host);
    host->tick(out_);
    flush(*host);
  });
}

void cluster::drain(word draw) {
  std::vector<node_id> active;
  for (auto& [id, n] : coordinator_->core.nodes())
    if (n.state == node_state::active) active.push_back(id);
  if (active.size() < 2) return; // the coordinator would refuse
  const auto node = active[draw % active.size()];
  const auto asked = coordinator_->core.drain(std::to_string(node), out_);
  if (!asked) return watch_.violated(asked.error().text);
  note("-- node " + std::to_string(*asked) + " is asked to leave");
  flush(*coordinator_);
}

/// A node without experts is gone without a word.
void cluster::die(word draw) {
  const auto idle = coordinator_->core.idle();
  const auto active = std::ranges::count_if(coordinator_->core.nodes(),
                                            [](auto& n) { return n.second.state == node_state::active; });
  if (idle.empty() || active < 2) return; // the last one is needed
  const auto node = idle[draw % idle.size()];
  note("-- node " + std::to_string(node) + " dies");
  std::erase_if(actors_, [&](auto& a) { return a.second->at == node; });
  if (auto lost = coordinator_->core.lost(node, "dead", out_); !lost) watch_.violated(lost.error().text);
  flush(*coordinator_);
}

/// The node was told to go: nobody may need it any more.
void cluster::node_gone(node_id node) {
  note("-- node " + std::to_string(node) + " leaves");
  const auto& placement = coordinator_->core.placement();
  watch_.expect(std::ranges::find(placement, node) == placement.end(),
                [&] { return "node " + std::to_string(node) + " was released with experts placed on it"; });
  std::erase_if(actors_, [&](auto& a) { return a.second->at == node; });
}

// -- the end ------------------------------------------------------------------

void cluster::collect() {
  if (collected()) return;
  for (auto& [id, n] : coordinator_->core.nodes())
    out_.send(host_address(id), state_request{current_term, watch_.steps()});
  flush(*coordinator_);
  events_.in(collect_interval, [this] { collect(); });
}

bool cluster::collected() const {
  return coordinator_->core.collected_states().size() == scenario_.owners() - 1;
}

void cluster::compare_states() {
  const auto dense = owner_id{0, owner_id::dense_part, 0};
  std::map<owner_id, word> states{
    {dense, static_cast<dense_member&>(*find(dense_address(0))).module().state()}};
  for (auto& [who, a] : actors_) {
    if (who.who != role::expert) continue;
    const auto& e = static_cast<expert_member&>(*a);
    if (!e.core.awaiting_state() && e.core.version() == watch_.steps())
      states[who.owner] = e.module().state();
  }
  for (auto& [owner, state] : coordinator_->core.collected_states()) {
    const auto same = states.contains(owner) && states[owner] == word_in(state);
    watch_.expect(
      same, [&, &name = owner] { return "the state collected of " + to_string(name) + " is not its own"; });
  }
  watch_.final_states(states);
}

} // namespace troupe::simulation
