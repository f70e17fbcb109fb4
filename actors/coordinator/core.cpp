#include "actors/coordinator/core.hpp"

#include "actors/coordinator/placement.hpp"
#include "messages/limits.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

std::string to_string(node_state s) {
  switch (s) {
    case node_state::joining: return "joining";
    case node_state::active: return "active";
    case node_state::draining: return "draining";
    case node_state::released: return "left"; // as people say
    case node_state::lost: return "lost";
  }
  return "?";
}

coordinator_core::coordinator_core(coordinator_settings settings) : settings_(std::move(settings)) {
  // nop
}

void coordinator_core::note(const node_record& n, std::string reason) {
  events_.push_back({n.id, n.name, n.state, std::move(reason)});
}

std::vector<node_event> coordinator_core::take_events() {
  return std::exchange(events_, {});
}

std::size_t coordinator_core::nodes_awaited() const {
  const auto ready = with_state(node_state::active).size();
  return started() || ready >= settings_.nodes_expected ? 0 : settings_.nodes_expected - ready;
}

std::vector<node_id> coordinator_core::with_state(node_state s) const {
  std::vector<node_id> result;
  for (auto& [id, n] : nodes_)
    if (n.state == s) result.push_back(id);
  return result;
}

bool coordinator_core::hosts_experts(node_id node) const {
  return std::ranges::find(placement_, node) != placement_.end();
}

void coordinator_core::start_alone(outbox& out) {
  nodes_[0] = {0, "head", "this process", 1, node_state::active};
  rearrange(out);
}

// -- joining ------------------------------------------------------------------

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

constexpr std::size_t length_max = 128; ///< of names

/// Machines have names of all kinds, which are shown on terminals.
bool is_printable(const std::string& text) {
  return text.size() <= length_max && std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

/// Names are shown on terminals and typed into commands.
bool is_name(const std::string& text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_' || c == '.'
           || c == ':';
  };
  return text.size() <= length_max && std::ranges::all_of(text, plain);
}

bool is_gone(const node_record& n) {
  return n.state == node_state::released || n.state == node_state::lost;
}

} // namespace

join_refusal coordinator_core::other_configuration(const join_request& m) const {
  join_refusal result(
    {error_code::mismatch, "[join] configuration: got hash " + m.configuration_hash.substr(0, 12)
                             + ", this run has " + settings_.configuration_hash.substr(0, 12)
                             + "; compare the --config file with the head's, or leave --config "
                               "out to take the run's own configuration"});
  result.configuration_of_run = settings_.configuration;
  return result;
}

tl::expected<void, join_refusal> coordinator_core::admissible(const join_request& m) const {
  if (m.protocol != protocol_version)
    return fail(error_code::mismatch, "[join] protocol version: got " + std::to_string(m.protocol)
                                        + ", this run speaks " + std::to_string(protocol_version)
                                        + "; use the same troupe on both machines");
  if (!m.run_id.empty() && m.run_id != settings_.run_id)
    return fail(error_code::mismatch, "[join] run id: got " + m.run_id + ", this run is " + settings_.run_id
                                        + "; check --join and --run-id");
  if (!m.configuration_hash.empty() && m.configuration_hash != settings_.configuration_hash)
    return tl::unexpected(other_configuration(m));
  if (m.fingerprint != settings_.fingerprint)
    return fail(error_code::mismatch,
                "[join] numerics fingerprint: got " + m.fingerprint + " (" + m.fingerprint_text
                  + "), this run has " + settings_.fingerprint + " (" + settings_.fingerprint_text
                  + "); use the same build, library versions and instruction set on both machines");
  if (settings_.nodes_expected == 0)
    return fail(error_code::usage,
                "[join] nodes: this run keeps its experts in one process; start it with --nodes of at "
                "least 1, or with --listen");
  if (!m.name.empty() && std::ranges::all_of(m.name, is_digit))
    return fail(error_code::malformed, "[join] name of the node: got " + m.name.substr(0, 16)
                                         + ", limit a name that is no number, since nodes have numbers "
                                           "besides; choose another with --name");
  if (!is_name(m.name))
    return fail(error_code::malformed,
                "[join] name of the node: got " + std::to_string(m.name.size())
                  + " bytes, limit 128 letters, digits and -_.:; choose another with --name");
  if (!is_printable(m.host))
    return fail(error_code::malformed,
                "[join] host name: got " + std::to_string(m.host.size())
                  + " bytes, limit 128 printable ASCII characters; use the same troupe on both machines");
  const auto present = std::ranges::count_if(nodes_, [](auto& n) { return !is_gone(n.second); });
  if (static_cast<std::size_t>(present) >= limits{}.nodes_max)
    return fail(error_code::over_limit, "[join] nodes: got one more, limit "
                                          + std::to_string(limits{}.nodes_max)
                                          + "; let another one leave first (troupe drain)");
  if (next_node_ == collected)
    return fail(error_code::over_limit,
                "[join] nodes: every number has been given out in the course of this run; go on without this "
                "node, or start the run again");
  return {};
}

tl::expected<welcome, join_refusal> coordinator_core::join(const join_request& m, std::string place) {
  if (auto ok = admissible(m); !ok) return tl::unexpected(ok.error());
  const auto id = next_node_++;
  const auto taken = [&](const std::string& name) {
    return std::ranges::any_of(nodes_, [&](auto& n) { return n.second.name == name && !is_gone(n.second); });
  };
  auto name = m.name.empty() || taken(m.name) ? "node-" + std::to_string(id) : m.name;
  while (taken(name)) name += "-" + std::to_string(id); // ends: there are at most `nodes_max` names
  auto& n = nodes_[id] = {id, std::move(name), std::move(place), m.compute_threads, node_state::joining};
  note(n, "");
  return welcome{settings_.term, id, settings_.run_id, settings_.configuration, n.name};
}

bool coordinator_core::awaits(const ready& m) const {
  auto i = nodes_.find(m.node);
  return m.term == settings_.term && i != nodes_.end() && i->second.state == node_state::joining;
}

void coordinator_core::receive(const ready& m, outbox& out) {
  if (!awaits(m)) return;
  auto i = nodes_.find(m.node);
  i->second.state = node_state::active;
  note(i->second, "");
  if (started() || with_state(node_state::active).size() >= settings_.nodes_expected) rearrange(out);
}

// -- placement ----------------------------------------------------------------

/// Spreads the experts over the active nodes, now or when the change under way has settled.
void coordinator_core::rearrange(outbox& out) {
  if (!settled_) {
    change_wanted_ = true;
    return;
  }
  change_wanted_ = false;
  auto nodes = with_state(node_state::active);
  placement_before_ = placement_;
  placement_ = spread(settings_.layers, settings_.experts, nodes, placement_);
  for (auto id : with_state(node_state::draining)) nodes.push_back(id);
  std::ranges::sort(nodes);
  settled_ = false;
  out.send(optimizer_address(), placement_change{settings_.term, ++version_, placement_, nodes});
}

void coordinator_core::receive(const placement_settled& m, outbox& out) {
  if (m.term != settings_.term || m.version != version_ || settled_) return;
  settled_ = true;
  placement_before_ = placement_;
  bool released = false;
  for (auto id : with_state(node_state::draining)) {
    if (hosts_experts(id)) continue;
    nodes_[id].state = node_state::released;
    note(nodes_[id], "its experts have moved");
    out.send(host_address(id), release{settings_.term, "its experts have moved", parting::drained});
    released = true;
  }
  if (change_wanted_ || released) rearrange(out);
}

expected<node_id> coordinator_core::drain(const std::string& node, outbox& out) {
  const auto find_active = [&](auto meant) {
    return std::ranges::find_if(
      nodes_, [&](auto& n) { return n.second.state == node_state::active && meant(n.second); });
  };
  auto i = find_active([&](const node_record& n) { return n.name == node; });
  if (i == nodes_.end()) i = find_active([&](const node_record& n) { return std::to_string(n.id) == node; });
  if (i == nodes_.end())
    return fail(error_code::not_found,
                "[drain] node: no active node is called " + node + "; see troupe status");
  if (!started()) return fail(error_code::usage, "[drain] the run has not started yet");
  if (with_state(node_state::active).size() < 2)
    return fail(error_code::usage,
                "[drain] " + i->second.name + " is the last node with experts; let another one join first");
  i->second.state = node_state::draining;
  note(i->second, "asked to leave");
  rearrange(out);
  return i->first;
}

bool coordinator_core::idles(const node_record& n) const {
  const auto member = n.state == node_state::active || n.state == node_state::draining;
  return started() && member && !hosts_experts(n.id)
         && std::ranges::find(placement_before_, n.id) == placement_before_.end();
}

std::vector<node_id> coordinator_core::idle() const {
  std::vector<node_id> result;
  for (auto& [id, n] : nodes_)
    if (idles(n)) result.push_back(id);
  return result;
}

expected<void> coordinator_core::lost(node_id node, const std::string& reason, outbox& out) {
  auto i = nodes_.find(node);
  if (i == nodes_.end() || is_gone(i->second)) return {};
  if (i->second.state == node_state::joining) { // it never was one of the company: nothing to remember
    nodes_.erase(i);
    return {};
  }
  const auto idle = idles(i->second);
  i->second.state = node_state::lost;
  note(i->second, reason);
  if (idle && !with_state(node_state::active).empty()) {
    rearrange(out);
    return {};
  }
  const auto consequence = !started() ? "; the run cannot begin without it, start it again"
                           : idle     ? "; it was the last one that may take experts, start the run again"
                                      : "; its experts' state is gone, start the run again (troupe drain "
                                        "lets a node go without loss)";
  return fail(error_code::unavailable,
              "[node] " + i->second.name + " (" + i->second.place + ") is lost: " + reason + consequence);
}

// -- relaying -----------------------------------------------------------------

void coordinator_core::receive(const owner_state& m, outbox& out) {
  if (m.term != settings_.term) return;
  if (m.to == collected)
    collected_[m.owner] = m.state;
  else
    out.send(host_address(m.to), m);
}

void coordinator_core::receive(const state_received& m, outbox& out) {
  if (m.term == settings_.term) out.send(host_address(m.to), m);
}

} // namespace troupe
