#pragma once

#include "messages/error.hpp"
#include "messages/ids.hpp"
#include "model/configuration.hpp"
#include "model/expert.hpp"
#include "model/experts/mlp_layout.hpp"
#include "model/factory.hpp"
#include "model/kernels/buffer_pool.hpp"
#include "model/kernels/kernels.hpp"
#include "model/optimizers/flat_optimizer.hpp"

#include <memory>

namespace troupe {

/// A feed-forward expert with hand-written gradients over one flat buffer (moe-math §5.1):
///
/// - relu, silu, gelu (with erf): y = W2·act(W1·x + b1) + b2; parameters w1 [f, d], b1 [f], w2 [out, f], b2
/// [out]
/// - swiglu: y = W_down·(silu(W_gate·x + b_gate) ⊙ (W_up·x + b_up)) + b_down; w_gate, w_up [f, d], w_down
/// [out, f]
///
/// biases only with `expert_bias`. Every output number is one chain of operations over its own row, so
/// outputs do not depend on which rows are computed together, nor on their number; weight gradients are one
/// chain over the rows in the order they were folded. The input rows are read again when the gradient is
/// folded, not kept as numbers.
template <class Real>
class mlp_expert : public expert_module {
public:
  mlp_expert(const mlp_shape& s, const optimizer_options& options);

  /// Parameters drawn by `init_uniform`, keyed by (seed, owner, name).
  void initialise(std::uint64_t seed, owner_id owner);

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

private:
  struct tape_state;
  struct sum_state;

  void activate(Real* gate, const Real* up, Real* hidden, std::ptrdiff_t count) const;
  void gather_gradient(tape_state& tape, const tensor& rows, const tensor& gates) const;
  tensor input_gradient(const tape_state& tape);
  void fold_block(sum_state& sum, const tape_state& tape, std::int64_t first, std::int64_t count,
                  const Real* x, bool fresh);
  std::int64_t rows_per_block(std::int64_t rows) const;
  void parameters_changed();

  mlp_shape shape_;
  mlp_layout<Real> layout_;
  const kernels<Real>& kernels_;
  std::ptrdiff_t input_stride_ = 0; ///< of gathered rows: an odd number of cache lines, so that columns
                                    ///< spread
  aligned_buffer<Real> parameters_;
  flat_optimizer<Real> optimizer_;

  // Transposed weights for the gradients of activations: made when first needed after a change of parameters.
  aligned_buffer<Real> second_transposed_; ///< of w2: [out, hidden]
  aligned_buffer<Real> first_transposed_;  ///< of w1, then up: [hidden, in]
  bool second_transposed_valid_ = false;
  bool first_transposed_valid_ = false;
};

/// The expert that `model.expert_kind` "mlp" stands for. Errors: unknown activation or precision, widths
/// below 1.
expected<std::unique_ptr<expert_module>> make_mlp_expert(const configuration& config,
                                                         const model_shape& widths, owner_id owner);

/// The same with parameters that are 0, to be set or loaded.
expected<std::unique_ptr<expert_module>> make_unset_mlp_expert(const configuration& config,
                                                               const model_shape& widths, owner_id owner);

/// `save().bytes()` of expert owner number `expert`, without making it.
std::uint64_t mlp_state_bytes(const configuration& config, const model_shape& widths, std::uint32_t expert);

} // namespace troupe
