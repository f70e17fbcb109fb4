#pragma once

#include "actors/owner/owner_core.hpp"
#include "model/expert.hpp"

#include <cstdint>
#include <map>
#include <vector>

namespace troupe {

/// The protocol of a stage's dense part: lane gradients in, parameters out to every router.
class dense_core : public owner_core {
public:
  using owner_core::receive;

  /// `replicas`: how many routers get the parameters.
  dense_core(owner_settings settings, dense_module& module, replica_id replicas);

  void receive(const plan& p, outbox& out);
  void receive(const dense_gradient& m, outbox& out);

  /// Early gradients that wait for their plan: at most one per lane.
  std::size_t waiting() const noexcept { return held_.size(); }

protected:
  std::unique_ptr<step_state> new_step(const plan& p) override;
  void opened(step_state& step, outbox& out) override;
  void closed(step_state& step, outbox& out) override;
  void plan_repeated(std::uint64_t step, outbox& out) override;
  void subclass_finished(std::uint64_t job, outbox& out) override;
  void forget_before(std::uint64_t step) override;
  double parameters_count() const override { return static_cast<double>(published_.dims().elements()); }

private:
  struct dense_step : step_state {
    std::vector<tensor> gradients; ///< by lane
    std::vector<bool> arrived;
    std::uint32_t arrivals = 0;
  };

  void take(dense_step& step, const dense_gradient& m, outbox& out);
  void publish(outbox& out);

  dense_module& module_;
  replica_id replicas_;
  tensor published_; ///< parameters at `version_`
  std::uint64_t reduction_job_ = 0;
  std::vector<dense_gradient> held_; ///< gradients whose plan is not here yet: at most one per lane
};

} // namespace troupe
