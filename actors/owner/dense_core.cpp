#include "actors/owner/dense_core.hpp"

#include <utility>

namespace troupe {

dense_core::dense_core(owner_settings settings, dense_module& module, replica_id replicas)
  : owner_core(settings, module), module_(module), replicas_(replicas) {
  // nop
}

void dense_core::receive(const plan& p, outbox& out) {
  accept(std::make_shared<const plan>(p), out);
}

std::unique_ptr<owner_core::step_state> dense_core::new_step(const plan& p) {
  auto result = std::make_unique<dense_step>();
  const auto lanes = p.microbatches.back().lane + 1;
  result->gradients.resize(lanes);
  result->arrived.resize(lanes);
  return result;
}

void dense_core::opened(step_state& step, outbox& out) {
  if (!published_.present()) publish(out);
  for (auto& m : std::exchange(held_, {})) take(static_cast<dense_step&>(step), m, out);
}

void dense_core::closed(step_state& step, outbox& out) {
  static_cast<dense_step&>(step).gradients.clear();
  if (step.permission->kind == step_kind::train) published_ = {};
  publish(out);
}

void dense_core::publish(outbox& out) {
  if (!published_.present()) published_ = module_.flat();
  for (replica_id r = 0; r < replicas_; ++r)
    out.send(router_address(r),
             dense_parameters{settings().term, version_, settings().owner.layer, published_});
}

void dense_core::plan_repeated(std::uint64_t, outbox& out) {
  if (!awaiting_state()) publish(out);
}

void dense_core::forget_before(std::uint64_t step) {
  std::erase_if(held_, [&](auto& m) { return m.step < step; });
}

void dense_core::receive(const dense_gradient& m, outbox& out) {
  if (!term_holds(m.term)) return;
  if (!awaiting_state() && m.step < version_)
    return publish(out); // the router has not heard of the new version
  auto* step = static_cast<dense_step*>(find(m.step));
  if (awaiting_state() || step == nullptr || m.step != version_) {
    for (auto& h : held_)
      if (h.step == m.step && h.lane == m.lane) return;
    held_.push_back(m);
    return;
  }
  take(*step, m, out);
}

void dense_core::take(dense_step& step, const dense_gradient& m, outbox& out) {
  if (m.step != step.permission->step || m.lane >= step.arrived.size() || step.arrived[m.lane]) return;
  step.arrived[m.lane] = true;
  step.gradients[m.lane] = m.value;
  if (++step.arrivals < step.arrived.size()) return;
  if (step.permission->kind == step_kind::evaluate) return complete_without_update(step, out);
  reduction_job_ = next_job();
  auto reduce = reduction(step);
  const auto lanes = static_cast<double>(step.gradients.size());
  const auto flops = lanes * parameters_count() * flops_per_fold + reduction_flops(step);
  out.post({reduction_job_, priority_of(m.step, 0xffff), flops, [this, &step, reduce = std::move(reduce)] {
              for (std::size_t lane = 0; lane < step.gradients.size(); ++lane)
                step.lanes[lane] = module_.sum_of(step.gradients[lane]);
              reduce();
            }});
}

void dense_core::subclass_finished(std::uint64_t job, outbox& out) {
  if (job != reduction_job_) return;
  reduction_finished(*find(version_), out);
}

} // namespace troupe
