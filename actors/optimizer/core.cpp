#include "actors/optimizer/core.hpp"

#include "model/data/batch_geometry.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace troupe {

namespace {

/// Plans under way at the same time: one step of slack keeps acknowledgements off the critical path.
constexpr std::size_t open_steps_max = 2;

} // namespace

optimizer_core::optimizer_core(optimizer_settings settings)
  : settings_(std::move(settings)),
    timetable_(settings_.config.schedule, settings_.train_rows, settings_.test_rows, settings_.training) {
  // nop
}

optimizer_core::open_step* optimizer_core::find(const term_id& term, std::uint64_t step) {
  auto i = term == settings_.term ? open_.find(step) : open_.end();
  return i == open_.end() ? nullptr : &i->second;
}

// -- plans --------------------------------------------------------------------

plan optimizer_core::make_plan(const timetable::entry& entry) const {
  const auto& c = settings_.config;
  const auto training = entry.kind == step_kind::train;
  const auto cut = cut_of(c.schedule, training ? settings_.train_rows : settings_.test_rows, entry.kind,
                          entry.ordinal);
  plan p;
  p.term = settings_.term;
  p.step = next_step_;
  p.kind = entry.kind;
  p.ordinal = entry.ordinal;
  p.rows = cut.rows;
  p.last = !timetable_.goes_on(entry.kind);
  if (training) {
    p.learning_rate = learning_rate_at(c.optimizer, entry.ordinal, timetable_.updates_total());
    p.clip_norm = c.optimizer.clip_norm;
    p.clip_local = c.optimizer.clip_scope == "local";
  }
  const auto lanes = cut.lanes();
  for (std::size_t i = 0; i < cut.microbatch_rows.size(); ++i) {
    const auto lane = cut.microbatch_lane[i];
    p.microbatches.push_back({lane,
                              static_cast<replica_id>(std::uint64_t{lane} * settings_.replicas
                                                      / std::max(lanes, settings_.replicas)),
                              cut.microbatch_rows[i]});
  }
  p.placement_version = placement_->version;
  p.placement = placement_->placement;
  return p;
}

void optimizer_core::issue(outbox& out) {
  while (placement_ && !exhausted_ && open_.size() < open_steps_max) {
    const auto entry = timetable_.next();
    if (!entry) {
      exhausted_ = true;
      return;
    }
    open_step s;
    s.summary.permission = make_plan(*entry);
    s.summary.entry = *entry;
    s.summary.replicas.resize(settings_.replicas);
    s.repeat = {ticks_, settings_.resend_after};
    send_first(s.summary.permission, out);
    open_.emplace(next_step_++, std::move(s));
  }
}

/// Nodes with experts get the plan from the routers, with the step's first bundle: one message less each. But
/// a new placement is news for those also that lose their experts by it.
void optimizer_core::send_first(const plan& p, outbox& out) const {
  for (auto node : placement_->nodes)
    if (p.step == placement_since_ || std::ranges::find(p.placement, node) == p.placement.end())
      out.send(host_address(node), p);
  send_in_head(p, true, out);
}

void optimizer_core::send_in_head(const message& m, bool routers, outbox& out) const {
  for (std::uint16_t stage = 0; stage < settings_.stages; ++stage) out.send(dense_address(stage), m);
  if (!routers) return;
  for (replica_id r = 0; r < settings_.replicas; ++r) out.send(router_address(r), m);
}

void optimizer_core::broadcast(const message& m, bool routers, outbox& out) const {
  for (auto node : placement_->nodes) out.send(host_address(node), m);
  send_in_head(m, routers, out);
}

void optimizer_core::receive(const placement_change& m, outbox& out) {
  if (m.term != settings_.term || (placement_ && m.version <= placement_->version)) return;
  placement_ = m;
  placement_since_ = next_step_;
  settled_ = false;
  issue(out);
}

// -- acknowledgements ---------------------------------------------------------

void optimizer_core::receive(const applied& m, outbox& out) {
  auto* s = find(m.term, m.step);
  if (s == nullptr) return;
  if (!m.owners.empty() && !s->applied_by.contains(m.owners.front())) {
    s->summary.expert_forward_us += m.forward_us;
    s->summary.expert_backward_us += m.backward_us;
    s->summary.apply_us += m.apply_us;
  }
  s->applied_by.insert(m.owners.begin(), m.owners.end());
  progress(out);
}

void optimizer_core::receive(const replica_report& m, outbox& out) {
  auto* s = find(m.term, m.step);
  if (s == nullptr || m.replica >= settings_.replicas) return;
  auto& slot = s->summary.replicas[m.replica];
  if (slot.term == settings_.term) return; // a repeat
  slot = m;
  ++s->reports;
  progress(out);
}

void optimizer_core::receive(const norm_report& m, outbox& out) {
  auto* s = find(m.term, m.step);
  if (s == nullptr) return;
  for (auto& entry : m.norms) s->norms[entry.owner] = entry.squared;
  if (s->norms.size() < owners()) return;
  if (!s->decision) {
    double sum = 0;
    for (auto& [owner, squared] : s->norms) sum += squared; // in owner order, whatever order they came in
    s->summary.gradient_norm = std::sqrt(sum);
    const auto scale = std::min(1.0, s->summary.permission.clip_norm / (s->summary.gradient_norm + 1e-6));
    s->decision = commit{settings_.term, m.step, scale};
    broadcast(*s->decision, false, out);
  }
}

void optimizer_core::progress(outbox& out) {
  while (!open_.empty() && complete(open_.begin()->second)) {
    const auto step = open_.begin()->first;
    summaries_.push_back(std::move(open_.begin()->second.summary));
    open_.erase(open_.begin());
    if (!settled_ && step >= placement_since_) {
      settled_ = true;
      out.send(coordinator_address(), placement_settled{settings_.term, placement_->version});
    }
    issue(out);
  }
}

std::vector<step_summary> optimizer_core::take_summaries() {
  return std::exchange(summaries_, {});
}

void optimizer_core::tick(outbox& out) {
  ++ticks_;
  for (auto& [step, s] : open_) {
    if (!s.repeat.due(ticks_)) continue;
    broadcast(s.summary.permission, true, out);
    if (s.decision) broadcast(*s.decision, false, out);
  }
}

} // namespace troupe
