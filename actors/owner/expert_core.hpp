#pragma once

#include "actors/owner/owner_core.hpp"
#include "model/expert.hpp"

#include <map>
#include <utility>
#include <vector>

namespace troupe {

/// An expert's protocol: forward and backward work in, rows out, gradients folded per lane in microbatch
/// order.
class expert_core : public owner_core {
public:
  using owner_core::receive;

  expert_core(owner_settings settings, expert_module& module);

  void receive(const expert_plan& m, outbox& out);
  void receive(const expert_forward& m, outbox& out);
  void receive(const expert_backward& m, outbox& out);

  /// Early work that waits for its plan or its version: at most one step's microbatches.
  std::size_t waiting() const noexcept { return held_.size(); }

protected:
  std::unique_ptr<step_state> new_step(const plan& p) override;
  void opened(step_state& step, outbox& out) override;
  void closed(step_state& step, outbox& out) override;
  void subclass_finished(std::uint64_t job, outbox& out) override;
  void forget_before(std::uint64_t step) override;
  double parameters_count() const override {
    return module_.flops_per_row() / 2;
  } ///< a product and a sum each

private:
  enum class progress : std::uint8_t { idle, forwarding, forwarded, backwarding, backwarded };

  struct micro {
    progress at = progress::idle;
    std::unique_ptr<expert_tape> tape;
    std::uint32_t rows = 0;
    std::int64_t bundle_rows = 0; ///< of the whole bundle: the gradient must have as many
    std::int64_t bundle_pairs = 0;
    tensor output;
    tensor input_gradient;
    bool input_wanted = false;
    bool fold_posted = false;
  };

  struct expert_step : step_state {
    std::vector<micro> micros;
    std::uint32_t forwarded = 0;
    std::uint32_t folds_posted = 0;
  };

  struct running {
    std::uint64_t step = 0;
    std::uint32_t microbatch = 0;
    bool backward = false;
    bool reduces = false;
  };

  expert_step* step_at(std::uint64_t step) { return static_cast<expert_step*>(find(step)); }

  void start_forward(expert_step& step, const expert_forward& m, outbox& out);
  void start_backward(expert_step& step, const expert_backward& m, outbox& out);
  void fold_again(expert_step& step, const work_id& id, outbox& out);
  std::vector<std::uint32_t> foldable(expert_step& step, std::uint32_t arrived);
  void forward_finished(expert_step& step, std::uint32_t microbatch, outbox& out);
  void send_output(const work_id& id, const micro& m, outbox& out);
  void refuse(const work_id& id, const char* reason, outbox& out);
  void refuse_late(const work_id& id, const char* reason, outbox& out);
  double flops(std::uint32_t rows) const;

  expert_module& module_;
  std::map<std::uint64_t, running> jobs_;
  std::map<std::pair<std::uint64_t, std::uint32_t>, expert_forward> held_; ///< early work, by (step,
                                                                           ///< microbatch)
};

} // namespace troupe
