#pragma once

#include "model/parameter_set.hpp"

#include <cstdint>
#include <memory>

namespace troupe {

/// What an expert keeps of one microbatch from its forward to its backward pass. Opaque to the protocol.
class expert_tape {
public:
  virtual ~expert_tape() = default;
};

/// The rows `indices[begin, end)` of `rows`, in that order: n = end - begin, possibly 0.
/// Unsigned bytes stand for pixels: value / 255 − mean (model/pixel.hpp).
struct row_selection {
  tensor rows;    ///< [R, in] u8, f32 or f64
  tensor indices; ///< [N] i32
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

/// One expert: a feed-forward network with its own optimizer.
///
/// Numerics: one call is one (expert, microbatch); it computes exactly the selected rows, gathered into a
/// contiguous 64-byte-aligned buffer in the given order, so that placement never shows in the bits.
class expert_module : public parameter_set {
public:
  struct forward_result {
    tensor output;                     ///< [n, out]
    std::unique_ptr<expert_tape> tape; ///< null if keep was false
  };

  /// Rough cost of a forward pass of one row, to decide where a job runs. Never shows in results.
  virtual double flops_per_row() const = 0;

  /// Pure: reads parameters only.
  virtual forward_result forward(const row_selection& input, bool keep) = 0;

  /// Backward through the activations. dL/d(output row i) = gates[begin + i] · rows[indices[begin + i]],
  /// where `begin` and `indices` are those of the forward pass. Adds what the weight gradient needs to
  /// `tape`. Returns dL/dx [n, in] if wanted, an absent tensor otherwise. Pure but for the tape.
  virtual tensor backward(expert_tape& tape, const tensor& rows, const tensor& gates, bool input_wanted) = 0;

  /// sum ← sum + dW of this microbatch. Called in microbatch order within a lane, after `backward`.
  virtual void fold_tape(gradient_sum& sum, expert_tape& tape) = 0;
};

/// A stage's dense part (trunk, gates). Routers compute with its parameters, it folds their lane gradients.
class dense_module : public parameter_set {
public:
  /// All parameters as one tensor, the form in which routers get them. Never written again once returned.
  virtual tensor flat() const = 0;

  /// A lane's gradient in the layout of `flat()`.
  virtual std::unique_ptr<gradient_sum> sum_of(const tensor& lane_gradient) = 0;
};

} // namespace troupe
