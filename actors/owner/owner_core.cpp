#include "actors/owner/owner_core.hpp"

#include "actors/plan_check.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

owner_core::owner_core(owner_settings settings, parameter_set& parameters)
  : parameters_(parameters), settings_(settings), awaiting_state_(!settings.fresh) {
  // nop
}

owner_core::step_state* owner_core::find(std::uint64_t step) {
  auto i = steps_.find(step);
  return i == steps_.end() ? nullptr : i->second.get();
}

// -- plans --------------------------------------------------------------------

void owner_core::accept(std::shared_ptr<const plan> permission, outbox& out) {
  const auto& p = *permission;
  if (!term_holds(p.term)) return;
  const auto expert = !settings_.owner.is_dense();
  if (auto defect = defect_of(p, expert ? settings_.index + std::size_t{1} : 0))
    return out.send(coordinator_address(), refusal{{p.term, p.step, 0, settings_.owner.layer}, *defect});
  if (p.step >= 2) {
    std::erase_if(steps_, [&](auto& s) { return s.first + 2 <= p.step && s.second->done; });
    forget_before(p.step - 1);
  }
  if (expert && p.placement[settings_.index] != settings_.node) {
    if (p.step < leaves_at_) { // plans may overtake each other
      leaves_at_ = p.step;
      leaves_to_ = p.placement[settings_.index];
      hand_over(out);
    }
    return;
  }
  if (!awaiting_state_ && p.step < version_) {
    out.send(settings_.reports_to, applied{settings_.term, p.step, {settings_.owner}});
    plan_repeated(p.step, out);
    return;
  }
  if (auto* known = find(p.step)) {
    if (known->awaiting_commit)
      out.send(settings_.reports_to,
               norm_report{settings_.term, p.step, {{settings_.owner, known->squared_norm}}});
    plan_repeated(p.step, out);
    return;
  }
  auto step = new_step(p);
  step->permission = std::move(permission);
  step->lanes.resize(p.microbatches.back().lane + 1);
  steps_.emplace(p.step, std::move(step));
  if (!awaiting_state_ && p.step == version_) open_current(out);
}

void owner_core::plan_repeated(std::uint64_t, outbox&) {
  // nop
}

void owner_core::open_current(outbox& out) {
  if (auto* step = find(version_); step != nullptr && !step->done) opened(*step, out);
}

// -- the end of a step --------------------------------------------------------

std::function<void()> owner_core::reduction(step_state& step) {
  step.reduced = true;
  step.applying = step.permission->clip_norm == 0 || step.permission->clip_local;
  return [this, &step] {
    auto& lanes = step.lanes;
    if (lanes[0] == nullptr) lanes[0] = parameters_.new_sum();
    for (std::size_t i = 1; i < lanes.size(); ++i)
      if (lanes[i] != nullptr) {
        parameters_.fold(*lanes[0], *lanes[i]);
        lanes[i].reset();
      }
    const auto& p = *step.permission;
    if (p.clip_norm > 0) step.squared_norm = parameters_.squared_norm(*lanes[0]);
    if (!step.applying) return;
    const auto scale = p.clip_norm > 0 ? std::min(1.0, p.clip_norm / (std::sqrt(step.squared_norm) + 1e-6))
                                       : 1.0;
    update(step, scale);
  };
}

double owner_core::reduction_flops(const step_state& step) const {
  const auto folds = static_cast<double>(step.lanes.size() - 1) + (step.permission->clip_norm > 0 ? 1 : 0);
  return parameters_count() * (folds * flops_per_fold + (step.applying ? flops_per_update : 0));
}

void owner_core::update(step_state& step, double scale) {
  const auto& p = *step.permission;
  const auto begin = now();
  parameters_.apply(*step.lanes[0], {p.learning_rate, scale, p.ordinal});
  step.apply_us = now() - begin;
}

void owner_core::reduction_finished(step_state& step, outbox& out) {
  if (step.applying) {
    complete(step, out);
    return;
  }
  step.awaiting_commit = true;
  out.send(settings_.reports_to,
           norm_report{settings_.term, step.permission->step, {{settings_.owner, step.squared_norm}}});
}

void owner_core::receive(const commit& c, outbox& out) {
  if (!term_holds(c.term)) return;
  auto* step = find(c.step);
  if (step == nullptr || !step->awaiting_commit || step->applying || step->done) return; // a repeat
  apply(*step, c.scale, out);
}

void owner_core::apply(step_state& step, double scale, outbox& out) {
  step.applying = true;
  step.awaiting_commit = false;
  apply_job_ = next_job();
  out.post({apply_job_, priority_of(step.permission->step, 0xffff), parameters_count() * flops_per_update,
            [this, &step, scale] { update(step, scale); }});
}

void owner_core::finished(std::uint64_t job, outbox& out) {
  if (job == apply_job_) {
    apply_job_ = 0;
    complete(*find(version_), out);
  } else {
    subclass_finished(job, out);
  }
}

void owner_core::complete_without_update(step_state& step, outbox& out) {
  complete(step, out);
}

void owner_core::complete(step_state& step, outbox& out) {
  step.done = true;
  step.applying = false;
  step.lanes.clear();
  version_ = step.permission->step + 1;
  out.send(settings_.reports_to, applied{settings_.term,
                                         step.permission->step,
                                         {settings_.owner},
                                         step.forward_us,
                                         step.backward_us,
                                         step.apply_us});
  closed(step, out);
  answer_state_request(out);
  hand_over(out);
  open_current(out);
}

// -- moving -------------------------------------------------------------------

void owner_core::hand_over(outbox& out) {
  if (awaiting_state_ || version_ != leaves_at_ || leaving_state_.present() || state_arrived_there_) return;
  leaving_state_ = parameters_.save();
  state_repeat_ = {ticks_, settings_.resend_after + ticks_for(leaving_state_.bytes())};
  send_state(out);
}

void owner_core::tick(outbox& out) {
  ++ticks_;
  if (leaving_state_.present() && state_repeat_.due(ticks_)) send_state(out);
}

void owner_core::send_state(outbox& out) const {
  out.send(coordinator_address(), owner_state{settings_.term, settings_.owner, version_, leaves_to_,
                                              settings_.node, leaving_state_});
}

void owner_core::receive(const owner_state& s, outbox& out) {
  if (!term_holds(s.term)) return;
  // A state that comes late, from an earlier stay on this node, has no plan here. One that is early comes
  // again.
  if (awaiting_state_ && find(s.version) == nullptr) return;
  // A newer state than this owner has is for its successor here, which is not born yet: to acknowledge it
  // would be to keep it from him.
  if (!awaiting_state_ && version_ < s.version) return;
  out.send(coordinator_address(), state_received{settings_.term, settings_.owner, s.version, s.from});
  if (!awaiting_state_) return; // a repeat
  if (auto loaded = parameters_.load(s.state); !loaded) {
    out.send(coordinator_address(),
             refusal{{settings_.term, s.version, 0, settings_.owner.layer}, loaded.error().text});
    return;
  }
  awaiting_state_ = false;
  version_ = s.version;
  open_current(out);
}

void owner_core::receive(const state_received& s, outbox&) {
  if (!term_holds(s.term) || s.version != version_ || !leaving_state_.present()) return;
  state_arrived_there_ = true;
  leaving_state_ = {};
}

void owner_core::receive(const state_request& r, outbox& out) {
  if (!term_holds(r.term)) return;
  requested_version_ = r.version;
  answer_state_request(out);
}

void owner_core::answer_state_request(outbox& out) {
  if (awaiting_state_ || requested_version_ != version_ || handed_over(version_)) return;
  if (auto* step = find(version_); step != nullptr && step->reduced)
    return; // too late: the parameters are changing
  out.send(coordinator_address(), owner_state{settings_.term, settings_.owner, version_, collected,
                                              settings_.node, parameters_.save()});
}

} // namespace troupe
