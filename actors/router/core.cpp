#include "actors/router/core.hpp"

#include "actors/plan_check.hpp"
#include "model/run_failure.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace troupe {

namespace {

/// Of the same work for the same reason: more would not help.
constexpr std::uint32_t refusals_max = 3;

std::uint64_t payload_bytes(const message& m) {
  if (auto* d = std::get_if<dispatch>(&m)) return d->rows.bytes() + d->indices.bytes();
  if (auto* g = std::get_if<gradient>(&m)) return g->rows.bytes() + g->gates.bytes();
  if (auto* g = std::get_if<dense_gradient>(&m)) return g->value.bytes();
  return 0;
}

/// What a trunk cannot go on with, and in which step that was: counted from 1, as in the metrics.
run_failure in_step(const run_failure& failure, const plan& p) {
  const auto* kind = p.kind == step_kind::train ? "step " : "evaluation ";
  const auto& reason = failure.reason();
  return run_failure({reason.code, reason.text + " (" + kind + std::to_string(p.ordinal + 1) + ")"});
}

} // namespace

router_core::router_core(router_settings settings, trunk_module& trunk)
  : settings_(std::move(settings)), trunk_(trunk) {
  // nop
}

router_core::step_state* router_core::current() {
  auto i = steps_.find(step_);
  return i == steps_.end() ? nullptr : &i->second;
}

router_core::micro* router_core::find(std::uint64_t step, std::uint32_t microbatch) {
  auto s = steps_.find(step);
  if (s == steps_.end()) return nullptr;
  auto m = std::ranges::find(s->second.micros, microbatch, [](auto& x) { return x->number; });
  return m == s->second.micros.end() ? nullptr : m->get();
}

// -- permission, data and parameters come in ----------------------------------

void router_core::receive(const plan& p, outbox& out) {
  if (!term_holds(p.term)) return;
  if (auto defect = defect_of(p, std::size_t{trunk_.layers()} * settings_.experts))
    return out.send(coordinator_address(), refusal{{p.term, p.step, 0, 0}, *defect});
  std::erase_if(steps_, [&](auto& s) { return s.first + 2 <= p.step; });
  if (p.step < step_) { // the optimizer misses our report
    auto s = steps_.find(p.step);
    if (s != steps_.end() && s->second.report) out.send(optimizer_address(), *s->second.report);
    return;
  }
  if (steps_.contains(p.step)) return;
  auto& s = steps_[p.step];
  s.permission = std::make_shared<const plan>(p);
  for (std::uint32_t i = 0; i < p.microbatches.size(); ++i) {
    if (p.microbatches[i].replica != settings_.replica) continue;
    s.micros.push_back(std::make_unique<micro>());
    s.micros.back()->number = i;
    s.next_in_lane.try_emplace(p.microbatches[i].lane, i);
    request(s, *s.micros.back(), out);
  }
  advance(out);
}

void router_core::request(step_state& s, micro& m, outbox& out) {
  const auto& p = *s.permission;
  m.waiting_for = {until_answered(
    {loader_address(), fetch{p.term, p.step, p.kind, p.ordinal, m.number, settings_.replica}})};
  out.messages.push_back(m.waiting_for.back().letter);
}

/// The next step's rows can be read while the experts compute this one's.
void router_core::read_ahead(const plan& p, std::uint32_t microbatch, outbox& out) const {
  if (!p.last)
    out.send(loader_address(), fetch{p.term, p.step, p.kind, p.ordinal + 1, microbatch, fetch::nobody});
}

router_core::pending router_core::until_answered(envelope letter) const {
  const repeat_clock repeat(ticks_, settings_.resend_after + ticks_for(payload_bytes(letter.body)));
  return {std::move(letter), repeat, false};
}

void router_core::receive(const batch& b, outbox& out) {
  if (!term_holds(b.term)) return;
  auto* m = find(b.step, b.microbatch);
  if (m == nullptr || m->data || m->at != progress::waiting) return; // a repeat
  m->data = b;
  m->waiting_for.clear();
  advance(out);
}

void router_core::receive(const dense_parameters& m, outbox& out) {
  if (!term_holds(m.term)) return;
  newest_dense_ = std::max(newest_dense_, m.version);
  if (m.version < step_) return;
  dense_.try_emplace(m.version, m.value);
  advance(out);
}

/// Starts what may start: microbatches in order, as many as may be in flight; the next step once this one is
/// done.
void router_core::advance(outbox& out) {
  auto* s = current();
  if (s == nullptr || s->report) return;
  // A step in which this replica has no work needs no parameters, and the dense part does not wait for it.
  if (!s->micros.empty() && !dense_.contains(step_)) return;
  while (s->started < s->micros.size() && s->started - s->finished < settings_.in_flight) {
    auto& m = *s->micros[s->started];
    if (!m.data) return;
    if (s->started++ == 0 && step_ > 0) spent(m, "plan", idle_since_us_);
    start(*s, m, out);
  }
  if (s->finished == s->micros.size()) finish_step(*s, out);
}

// -- forward ------------------------------------------------------------------

void router_core::post(micro& m, progress next, std::function<void()> work, outbox& out) {
  m.at = next;
  const auto id = ++last_job_;
  jobs_[id] = {step_, &m};
  const auto flops = trunk_.flops_per_row() * static_cast<double>(m.data->inputs.rows());
  const auto& p = *current()->permission;
  auto named = [&p, work = std::move(work)] {
    try {
      work();
    } catch (const run_failure& failure) {
      throw in_step(failure, p);
    }
  };
  out.post({id, priority_of(step_, m.number, m.layer), flops, std::move(named)});
}

void router_core::start(step_state& s, micro& m, outbox& out) {
  const auto& p = *s.permission;
  m.plans.resize(trunk_.layers());
  const auto share = static_cast<double>(p.microbatches[m.number].rows) / static_cast<double>(p.rows);
  microbatch_context context{p.step, p.ordinal, m.number, p.kind == step_kind::train, share};
  post(
    m, progress::forwarding,
    [this, &m, &p, context, dense = dense_[step_]] {
      const auto begin = now();
      m.tape = trunk_.begin(context, *m.data, dense);
      spent(m, "route", begin);
      forward_layer(m, p);
    },
    out);
}

/// Runs inside a job: stage, gate, dispatch plan and bundles of layer `m.layer`.
void router_core::forward_layer(micro& m, const plan& p) {
  auto begin = now();
  const auto where = trunk_.forward(*m.tape, m.layer);
  spent(m, "route", begin);
  begin = now();
  const std::span placement(p.placement.data() + std::size_t{m.layer} * settings_.experts, settings_.experts);
  auto& layout = m.plans[m.layer] = plan_dispatch(where.experts, m.layer, placement, settings_.local);
  const work_id id{settings_.term, p.step, m.number, m.layer};
  for (auto& bundle : layout.bundles) {
    dispatch d{id,
               settings_.replica,
               p.kind == step_kind::train,
               pack_rows(where.rows, bundle),
               bundle.indices,
               bundle.experts};
    if (!bundle.every_row) m.bytes_copied += d.rows.bytes();
    m.letters.push_back({host_address(bundle.node), std::move(d)});
  }
  spent(m, "pack", begin);
}

void router_core::send_letters(step_state& s, micro& m, outbox& out) {
  m.waiting_for.clear();
  m.parts.assign(settings_.experts, {});
  m.sent_us = now();
  for (auto& letter : std::exchange(m.letters, {})) {
    if (letter.to.index != settings_.local)
      m.traffic[letter.to.index].bytes_sent += payload_bytes(letter.body);
    auto* d = std::get_if<dispatch>(&letter.body);
    if (settings_.defects.omit_empty_bundles && d != nullptr && d->indices.rows() == 0) continue;
    if (d != nullptr && s.told.insert(letter.to.index).second) d->permission = s.permission;
    m.waiting_for.push_back(until_answered(letter));
    out.messages.push_back(std::move(letter));
  }
}

/// Takes one node's answer. True once every node has answered.
bool router_core::collect(micro& m, node_id node, const std::vector<owner_tensor>& values) {
  auto slot = std::ranges::find(m.waiting_for, host_address(node), [](auto& w) { return w.letter.to; });
  if (slot == m.waiting_for.end() || slot->answered) return false;
  const auto bundle = std::ranges::find(m.plans[m.layer].bundles, node, &node_bundle::node);
  const auto as_asked = std::ranges::equal(values, bundle->experts, [](auto& v, auto& span) {
    return v.owner == span.owner && v.value.rows() == span.end - span.begin;
  });
  if (!as_asked) return false; // the sender is confused; ask again later
  slot->answered = true;
  slot->letter.body = {};
  for (auto& v : values) {
    m.parts[v.owner.expert] = v.value;
    if (node != settings_.local) m.traffic[node].bytes_received += v.value.bytes();
  }
  return std::ranges::all_of(m.waiting_for, &pending::answered);
}

void router_core::receive(const combine& c, outbox& out) {
  if (!term_holds(c.id.term)) return;
  if (c.done) out.send(optimizer_address(), *c.done);
  auto* m = find(c.id.step, c.id.microbatch);
  if (m == nullptr || c.id.step != step_ || m->at != progress::dispatched || m->layer != c.id.layer) return;
  if (collect(*m, c.node, c.outputs)) combined(*current(), *m, out);
}

void router_core::combined(step_state& s, micro& m, outbox& out) {
  spent(m, "wire", m.sent_us);
  const auto& p = *s.permission;
  post(
    m, progress::combining,
    [this, &m, &p] {
      const auto begin = now();
      trunk_.combine(*m.tape, m.layer, {std::move(m.parts), m.plans[m.layer].positions});
      spent(m, "combine", begin);
      if (m.layer + 1 < trunk_.layers()) {
        ++m.layer;
        forward_layer(m, p);
      } else {
        last_combined(m, p);
      }
    },
    out);
}

// -- loss and backward --------------------------------------------------------

void router_core::last_combined(micro& m, const plan& p) {
  const auto begin = now();
  m.report = trunk_.loss(*m.tape);
  spent(m, "loss", begin);
  m.report.microbatch = m.number;
  m.report.rows = p.microbatches[m.number].rows;
  if (p.kind == step_kind::train)
    backward_layer(m, p);
  else if (settings_.on_outputs)
    settings_.on_outputs(p, m.number, trunk_.outputs(*m.tape));
}

/// Runs inside a job: dL/dy of layer `m.layer`, one gradient message per node.
void router_core::backward_layer(micro& m, const plan& p) {
  auto begin = now();
  const auto back = trunk_.backward(*m.tape, m.layer);
  spent(m, "backward", begin);
  begin = now();
  const work_id id{settings_.term, p.step, m.number, m.layer};
  const auto wanted = trunk_.input_gradient_wanted(m.layer);
  for (auto& bundle : m.plans[m.layer].bundles) {
    gradient g{id, settings_.replica, wanted, pack_rows(back.rows, bundle), pack_gates(back.gates, bundle)};
    if (!bundle.every_row) m.bytes_copied += g.rows.bytes();
    m.letters.push_back({host_address(bundle.node), std::move(g)});
  }
  spent(m, "pack", begin);
}

void router_core::receive(const input_gradient& g, outbox& out) {
  if (!term_holds(g.id.term)) return;
  auto* m = find(g.id.step, g.id.microbatch);
  if (m == nullptr || g.id.step != step_ || m->at != progress::returning || m->layer != g.id.layer) return;
  if (collect(*m, g.node, g.gradients)) returned(*current(), *m, out);
}

void router_core::returned(step_state& s, micro& m, outbox& out) {
  spent(m, "wire", m.sent_us);
  const auto& p = *s.permission;
  post(
    m, progress::folding,
    [this, &m, &p] {
      const auto begin = now();
      trunk_.input_gradient(*m.tape, m.layer, {std::move(m.parts), m.plans[m.layer].positions});
      spent(m, "backward", begin);
      if (m.layer > 0) {
        --m.layer;
        backward_layer(m, p);
      }
    },
    out);
}

// -- jobs ---------------------------------------------------------------------

void router_core::finished(std::uint64_t job, outbox& out) {
  auto i = jobs_.find(job);
  if (i == jobs_.end()) return;
  auto& m = *i->second.at;
  auto& s = steps_.at(i->second.step);
  jobs_.erase(i);
  const auto dense_left = [&] {
    post(
      m, progress::finishing,
      [this, &m] {
        const auto begin = now();
        m.dense_gradient = trunk_.dense_gradient(*m.tape);
        spent(m, "backward", begin);
      },
      out);
  };
  switch (m.at) {
    case progress::forwarding:
      send_letters(s, m, out);
      m.at = progress::dispatched;
      read_ahead(*s.permission, m.number, out);
      break;
    case progress::combining:
    case progress::folding: {
      const auto training = s.permission->kind == step_kind::train;
      if (m.letters.empty()) { // an evaluation, or the lowest layer's input gradient has been folded
        training ? dense_left() : finish_micro(s, m, out);
        break;
      }
      const auto forward = std::holds_alternative<dispatch>(m.letters.front().body);
      send_letters(s, m, out);
      if (forward) {
        m.at = progress::dispatched;
      } else if (trunk_.input_gradient_wanted(m.layer)) {
        m.at = progress::returning;
      } else {
        std::ranges::move(std::exchange(m.waiting_for, {}), std::back_inserter(s.unconfirmed));
        dense_left();
      }
      break;
    }
    case progress::finishing: finish_micro(s, m, out); break;
    default: break;
  }
}

// -- the end of a microbatch, a lane and a step --------------------------------

void router_core::finish_micro(step_state& s, micro& m, outbox& out) {
  m.at = progress::finished;
  m.tape.reset();
  m.plans.clear();
  m.data.reset();
  ++s.finished;
  fold_lane(s, m, out);
  advance(out);
}

/// Folds dense gradients in microbatch order within the lane; a complete lane goes to the dense owner.
void router_core::fold_lane(step_state& s, micro& arrived, outbox& out) {
  const auto& plan = s.permission->microbatches;
  const auto lane = plan[arrived.number].lane;
  auto& next = s.next_in_lane[lane];
  while (next < plan.size() && plan[next].lane == lane) {
    auto& m = *find(step_, next);
    if (m.at != progress::finished) return;
    if (m.dense_gradient.present()) {
      if (auto [sum, first] = s.lane_sums.try_emplace(lane, m.dense_gradient); !first)
        trunk_.fold(sum->second, m.dense_gradient);
      m.dense_gradient = {};
    }
    ++next;
  }
  dense_gradient g{settings_.term, step_, 0, lane, s.lane_sums[lane]};
  s.lane_gradients.push_back(until_answered({dense_address(0), g}));
  out.send(dense_address(0), std::move(g));
}

void router_core::finish_step(step_state& s, outbox& out) {
  replica_report report{settings_.term, step_, settings_.replica, {}, {}, {}, 0};
  std::map<std::string, double> phases;
  std::map<node_id, node_traffic> traffic;
  for (auto& m : s.micros) {
    report.microbatches.push_back(std::move(m->report));
    for (auto& [node, exchanged] : m->traffic) {
      auto& sum = traffic[node];
      sum.node = node;
      sum.bytes_sent += exchanged.bytes_sent;
      sum.bytes_received += exchanged.bytes_received;
    }
    report.bytes_copied += m->bytes_copied;
    for (auto& [phase, us] : m->phases) phases[phase] += us;
  }
  for (auto& [phase, us] : phases) report.phases.push_back({phase, us});
  for (auto& sum : traffic) report.traffic.push_back(sum.second);
  s.report = std::move(report);
  out.send(optimizer_address(), *s.report);
  dense_.erase(dense_.begin(), dense_.upper_bound(step_));
  idle_since_us_ = now();
  ++step_;
  advance(out);
}

void router_core::receive(const refusal& m, outbox& out) {
  if (!term_holds(m.id.term) || m.late) return;
  if (find(m.id.step, m.id.microbatch) == nullptr || m.id.layer >= trunk_.layers()) return;
  auto& known = steps_.at(m.id.step).refused[m.id];
  if (known.reason != m.reason) known = {m.reason, 0};
  if (++known.times != refusals_max) return;
  out.send(coordinator_address(),
           refusal{m.id, "[router] work of step " + std::to_string(m.id.step) + ", microbatch "
                           + std::to_string(m.id.microbatch) + ", layer " + std::to_string(m.id.layer)
                           + ": got refused " + std::to_string(known.times)
                           + " times, limit once: " + m.reason + "; please report this"});
}

// -- time ---------------------------------------------------------------------

void router_core::resend(std::vector<pending>& letters, outbox& out) {
  for (auto& l : letters) {
    if (!l.answered && l.repeat.due(ticks_)) out.messages.push_back(l.letter);
  }
}

void router_core::tick(outbox& out) {
  ++ticks_;
  for (auto& [number, s] : steps_) {
    for (auto& m : s.micros) resend(m->waiting_for, out);
    resend(s.unconfirmed, out);
    if (newest_dense_ <= number) resend(s.lane_gradients, out); // the dense part has not done the step yet
  }
}

} // namespace troupe
