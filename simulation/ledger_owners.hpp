#pragma once

#include "model/expert.hpp"
#include "simulation/ledger.hpp"

namespace troupe::simulation {

/// A gradient of the ledger model.
struct ledger_sum : gradient_sum {
  word value = 0;
};

/// What experts and dense parts of the ledger model share: one word of parameters. Base is the interface they
/// have.
template <class Base>
class ledger_owner : public Base {
public:
  ledger_owner(word seed, owner_id owner) : owner_(owner), state_(initial_state(seed, owner)) {
    // nop
  }

  word state() const noexcept { return state_; }

  std::unique_ptr<gradient_sum> new_sum() override { return std::make_unique<ledger_sum>(); }

  void fold(gradient_sum& into, const gradient_sum& other) override {
    auto& value = static_cast<ledger_sum&>(into).value;
    value = append(value, static_cast<const ledger_sum&>(other).value);
  }

  double squared_norm(const gradient_sum& gradient) override {
    return squared_norm_of(static_cast<const ledger_sum&>(gradient).value);
  }

  void apply(const gradient_sum& gradient, const update& step) override {
    state_ = updated(state_, static_cast<const ledger_sum&>(gradient).value, step);
  }

  tensor save() const override;
  expected<void> load(const tensor& state) override;
  std::vector<named_tensor> parameters() const override { return {{"word", save()}}; }
  expected<void> set_parameters(std::span<const named_tensor> values) override {
    return load(values[0].value);
  }

protected:
  owner_id owner_;
  word state_;
};

class ledger_expert : public ledger_owner<expert_module> {
public:
  using ledger_owner::ledger_owner;

  double flops_per_row() const override { return 1; }
  forward_result forward(const row_selection& input, bool keep) override;
  tensor backward(expert_tape& tape, const tensor& rows, const tensor& gates, bool input_wanted) override;
  void fold_tape(gradient_sum& sum, expert_tape& tape) override;
};

class ledger_dense : public ledger_owner<dense_module> {
public:
  using ledger_owner::ledger_owner;

  tensor flat() const override;
  std::unique_ptr<gradient_sum> sum_of(const tensor& lane_gradient) override;
};

} // namespace troupe::simulation
