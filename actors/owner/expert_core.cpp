#include "actors/owner/expert_core.hpp"

namespace troupe {

expert_core::expert_core(owner_settings settings, expert_module& module)
  : owner_core(settings, module), module_(module) {
  // nop
}

void expert_core::receive(const expert_plan& m, outbox& out) {
  accept(m.permission, out);
}

std::unique_ptr<owner_core::step_state> expert_core::new_step(const plan& p) {
  auto result = std::make_unique<expert_step>();
  result->micros.resize(p.microbatches.size());
  return result;
}

void expert_core::opened(step_state& step, outbox& out) {
  auto& s = static_cast<expert_step&>(step);
  const auto number = s.permission->step;
  auto first = held_.lower_bound({number, 0});
  while (first != held_.end() && first->first.first == number) {
    start_forward(s, first->second, out);
    first = held_.erase(first);
  }
}

void expert_core::closed(step_state& step, outbox&) {
  auto& s = static_cast<expert_step&>(step);
  for (auto& m : s.micros) m.tape.reset();
  if (settings().defects.forget_replies) s.micros.clear();
}

void expert_core::forget_before(std::uint64_t step) {
  held_.erase(held_.begin(), held_.lower_bound({step, 0}));
}

void expert_core::refuse(const work_id& id, const char* reason, outbox& out) {
  out.send(settings().reports_to, refusal{id, reason});
}

void expert_core::refuse_late(const work_id& id, const char* reason, outbox& out) {
  out.send(settings().reports_to, refusal{id, reason, true});
}

double expert_core::flops(std::uint32_t rows) const {
  return static_cast<double>(rows) * module_.flops_per_row();
}

// -- forward ------------------------------------------------------------------

void expert_core::receive(const expert_forward& m, outbox& out) {
  if (!term_holds(m.id.term)) return refuse_late(m.id, "[expert] old term", out);
  if (handed_over(m.id.step)) return refuse(m.id, "[expert] the expert has moved to another node", out);
  auto* step = step_at(m.id.step);
  if (!awaiting_state() && m.id.step < version_) {
    const auto known = step != nullptr && m.id.microbatch < step->micros.size();
    if (!known) return refuse_late(m.id, "[expert] wrong version: the step is over and forgotten", out);
    return send_output(m.id, step->micros[m.id.microbatch], out);
  }
  if (awaiting_state() || step == nullptr || m.id.step != version_) {
    held_.emplace(std::pair{m.id.step, m.id.microbatch}, m);
    return;
  }
  start_forward(*step, m, out);
}

void expert_core::start_forward(expert_step& step, const expert_forward& m, outbox& out) {
  if (m.id.microbatch >= step.micros.size())
    return refuse(m.id, "[expert] no such microbatch in the plan", out);
  auto& micro = step.micros[m.id.microbatch];
  if (micro.at == progress::forwarding) return; // a repeat, the answer is on its way
  if (micro.at != progress::idle) return send_output(m.id, micro, out);
  micro.at = progress::forwarding;
  micro.rows = m.end - m.begin;
  micro.bundle_rows = m.rows.rows();
  micro.bundle_pairs = m.indices.rows();
  const auto id = next_job();
  jobs_[id] = {m.id.step, m.id.microbatch, false, false};
  out.post(
    {id, priority_of(m.id.step, m.id.microbatch, m.id.layer), flops(micro.rows), [this, &step, &micro, m] {
       const auto begin = now();
       auto result = module_.forward({m.rows, m.indices, m.begin, m.end}, m.keep);
       micro.output = std::move(result.output);
       micro.tape = std::move(result.tape);
       step.forward_us += now() - begin;
     }});
}

void expert_core::forward_finished(expert_step& step, std::uint32_t microbatch, outbox& out) {
  auto& micro = step.micros[microbatch];
  micro.at = progress::forwarded;
  const auto& p = *step.permission;
  send_output({p.term, p.step, microbatch, settings().owner.layer}, micro, out);
  if (++step.forwarded == step.micros.size() && p.kind == step_kind::evaluate)
    complete_without_update(step, out);
}

void expert_core::send_output(const work_id& id, const micro& m, outbox& out) {
  if (m.output.present()) out.send(settings().reports_to, expert_output{id, settings().owner, m.output});
}

// -- backward -----------------------------------------------------------------

void expert_core::receive(const expert_backward& m, outbox& out) {
  if (!term_holds(m.id.term)) return refuse_late(m.id, "[expert] old term", out);
  auto* step = step_at(m.id.step);
  if (step == nullptr || m.id.microbatch >= step->micros.size())
    return refuse_late(m.id, "[expert] wrong version: no such work at this expert", out);
  auto& micro = step->micros[m.id.microbatch];
  const auto repeated = micro.at == progress::backwarding || micro.at == progress::backwarded;
  if (repeated && settings().defects.apply_duplicates && !step->reduced) fold_again(*step, m.id, out);
  if (repeated) {
    if (micro.input_wanted && micro.at == progress::backwarded)
      out.send(settings().reports_to, expert_input_gradient{m.id, settings().owner, micro.input_gradient});
    return;
  }
  if (micro.at != progress::forwarded || step->permission->kind == step_kind::evaluate)
    return refuse(m.id, "[expert] gradient without its forward pass", out);
  if (m.rows.rows() != micro.bundle_rows || m.gates.rows() != micro.bundle_pairs)
    return refuse(m.id, "[expert] gradient of another shape than its forward pass", out);
  start_backward(*step, m, out);
}

/// The microbatches whose weight gradients can be folded now that `arrived` has its own: in order within
/// their lane.
std::vector<std::uint32_t> expert_core::foldable(expert_step& step, std::uint32_t arrived) {
  const auto& plan = step.permission->microbatches;
  if (settings().defects.fold_by_arrival) {
    step.micros[arrived].fold_posted = true;
    return {arrived};
  }
  const auto lane = plan[arrived].lane;
  auto first = arrived;
  while (first > 0 && plan[first - 1].lane == lane) --first;
  std::vector<std::uint32_t> result;
  for (auto i = first; i < plan.size() && plan[i].lane == lane; ++i) {
    auto& m = step.micros[i];
    if (m.fold_posted) continue;
    if (m.at != progress::backwarding && m.at != progress::backwarded) break;
    m.fold_posted = true;
    result.push_back(i);
  }
  return result;
}

void expert_core::start_backward(expert_step& step, const expert_backward& m, outbox& out) {
  auto& micro = step.micros[m.id.microbatch];
  micro.at = progress::backwarding;
  micro.input_wanted = m.input_wanted;
  auto folds = foldable(step, m.id.microbatch);
  step.folds_posted += static_cast<std::uint32_t>(folds.size());
  const auto last = step.folds_posted == step.micros.size();
  auto reduce = last ? reduction(step) : std::function<void()>{};
  auto cost = flops(micro.rows) + (last ? reduction_flops(step) : 0);
  for (auto i : folds) cost += flops(step.micros[i].rows);
  const auto id = next_job();
  jobs_[id] = {m.id.step, m.id.microbatch, true, last};
  out.post({id, priority_of(m.id.step, m.id.microbatch, m.id.layer), cost,
            [this, &step, &micro, m, folds = std::move(folds), reduce = std::move(reduce)] {
              const auto begin = now();
              micro.input_gradient = module_.backward(*micro.tape, m.rows, m.gates, m.input_wanted);
              for (auto i : folds) {
                auto& lane = step.lanes[step.permission->microbatches[i].lane];
                if (lane == nullptr) lane = module_.new_sum();
                module_.fold_tape(*lane, *step.micros[i].tape);
                if (!settings().defects.apply_duplicates) step.micros[i].tape.reset();
              }
              step.backward_us += now() - begin;
              if (reduce) reduce();
            }});
}

/// The defect `apply_duplicates`.
void expert_core::fold_again(expert_step& step, const work_id& id, outbox& out) {
  out.post({next_job(), 0, 0, [this, &step, id] {
              auto& lane = step.lanes[step.permission->microbatches[id.microbatch].lane];
              if (lane != nullptr) module_.fold_tape(*lane, *step.micros[id.microbatch].tape);
            }});
}

// -- jobs ---------------------------------------------------------------------

void expert_core::subclass_finished(std::uint64_t job, outbox& out) {
  auto i = jobs_.find(job);
  if (i == jobs_.end()) return;
  const auto done = i->second;
  jobs_.erase(i);
  auto& step = *step_at(done.step);
  if (!done.backward) return forward_finished(step, done.microbatch, out);
  auto& micro = step.micros[done.microbatch];
  micro.at = progress::backwarded;
  if (micro.input_wanted)
    out.send(settings().reports_to, expert_input_gradient{{step.permission->term, done.step, done.microbatch,
                                                           settings().owner.layer},
                                                          settings().owner,
                                                          micro.input_gradient});
  if (done.reduces) reduction_finished(step, out);
}

} // namespace troupe
