#pragma once

#include "model/catch_failures.hpp"
#include "model/configuration.hpp"
#include "model/expert.hpp"
#include "model/extensions.hpp"
#include "model/kernels/aligned_buffer.hpp"
#include "model/optimizers/flat_optimizer.hpp"
#include "model/torch/torch_error.hpp"
#include "model/torch/torch_numerics.hpp"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// An expert of your own, written with LibTorch: declare parameters in the constructor, compute rows in
/// `compute`; gradients come from autograd, the optimizer step, checkpoints and moves between nodes from
/// here. (The standard experts have hand-written gradients and are about twice as fast.) Link
/// `troupe::torch`. Example: examples/custom_expert.cpp.
///
///     class bilinear : public troupe::torch_expert {
///     public:
///       bilinear(const configuration& c, const model_shape& s, owner_id id) : torch_expert(c, s, id) {
///         declare("w1", {hidden(), in()}, in());
///         declare("w2", {out(), hidden()}, hidden());
///       }
///       at::Tensor compute(const at::Tensor& x) const override {
///         return at::linear(at::linear(x, get("w1")).square(), get("w2"));
///       }
///     };
class torch_expert : public expert_module {
public:
  torch_expert(const configuration& config, const model_shape& widths, owner_id owner);
  ~torch_expert() override;

  /// x [n, in] → [n, out] of x's type, n ≥ 1. Row i of the result must depend on row i of x alone. What it
  /// throws, or returns of another shape, ends the run in one line that says so.
  virtual at::Tensor compute(const at::Tensor& x) const = 0;

  double flops_per_row() const override;
  forward_result forward(const row_selection& input, bool keep) override;
  tensor backward(expert_tape& tape, const tensor& rows, const tensor& gates, bool input_wanted) override;
  void fold_tape(gradient_sum& sum, expert_tape& tape) override;
  std::unique_ptr<gradient_sum> new_sum() override;
  void fold(gradient_sum& into, const gradient_sum& other) override;
  double squared_norm(const gradient_sum& gradient) override;
  void apply(const gradient_sum& gradient, const update& step) override;
  tensor save() const override;
  expected<void> load(const tensor& state) override;
  std::vector<named_tensor> parameters() const override;
  expected<void> set_parameters(std::span<const named_tensor> values) override;

protected:
  /// A parameter, initialised uniformly in ±1/√fan_in, keyed by (seed, layer, expert, name). Constructors
  /// only.
  void declare(const std::string& name, std::vector<std::int64_t> dims, std::int64_t fan_in);

  /// A declared parameter.
  const at::Tensor& get(const std::string& name) const;

  std::int64_t in() const noexcept { return widths_.input_width; }

  std::int64_t out() const noexcept { return widths_.output_width; }

  std::int64_t hidden() const noexcept { return hidden_; }

private:
  struct parameter {
    std::string name;
    at::Tensor value; ///< a leaf
  };

  struct tape_state;
  struct sum_state;

  std::string label() const;
  at::Tensor computed(const at::Tensor& x) const; ///< checked

  model_shape widths_;
  std::int64_t hidden_;
  std::uint64_t seed_;
  owner_id owner_;
  bool wide_; ///< f64
  optimizer_options options_;
  std::vector<parameter> parameters_;
  std::int64_t numbers_ = 0;
  std::unique_ptr<flat_optimizer<float>> optimizer_f32_;
  std::unique_ptr<flat_optimizer<double>> optimizer_f64_;
};

/// Adds `Expert` to a program's own parts, for `--expert NAME`, and LibTorch to what it computes with.
template <class Expert>
void add_torch_expert(extensions& to, const std::string& name) {
  use_torch(to.libraries);
  to.experts[name] = [](const configuration& config, const model_shape& widths, owner_id owner) {
    const auto make = [&]() -> std::unique_ptr<expert_module> {
      return std::make_unique<Expert>(config, widths, owner);
    };
    return catch_failures("expert " + std::to_string(owner.expert), make, torch_failure_in_flight);
  };
}

} // namespace troupe
