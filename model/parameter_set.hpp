#pragma once

#include "messages/error.hpp"
#include "messages/tensor.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// One optimizer step as the plan defines it.
struct update {
  double learning_rate = 0;
  double scale = 1;        ///< clip factor, multiplies the gradient
  std::uint64_t index = 0; ///< updates applied before this one (bias correction uses index + 1)
};

/// A named parameter tensor, e.g. {"w1", f32 [64, 784]}.
struct named_tensor {
  std::string name;
  tensor value;
};

/// Gradient of one lane, or of a whole step: what `parameter_set` folds into. Opaque to the protocol.
class gradient_sum {
public:
  virtual ~gradient_sum() = default;
};

/// What an owner owns: parameters and the optimizer's state over them.
///
/// Threading: one owner calls one method at a time, but on changing threads; only `save` may run beside calls
/// that read the parameters (an expert's `forward` and `backward`). Only `apply`, `load` and `set_parameters`
/// change parameters. Order is part of the contract: the same calls in the same order give the same bits.
class parameter_set {
public:
  virtual ~parameter_set() = default;

  /// An empty sum: gradient 0.
  virtual std::unique_ptr<gradient_sum> new_sum() = 0;

  /// lane ← lane + other, in place. Lanes of a step are folded left to right.
  virtual void fold(gradient_sum& into, const gradient_sum& other) = 0;

  /// Σ g² in fp64.
  virtual double squared_norm(const gradient_sum& gradient) = 0;

  /// One optimizer step with `gradient` · scale.
  virtual void apply(const gradient_sum& gradient, const update& step) = 0;

  /// Everything that a new owner needs to go on: parameters and optimizer state, as u8 bytes.
  virtual tensor save() const = 0;

  /// Takes over what `save` wrote. Refuses bytes of another shape or type and leaves the set as it was.
  virtual expected<void> load(const tensor& state) = 0;

  /// The parameters alone, in canonical order, for checkpoints and digests. Copies.
  virtual std::vector<named_tensor> parameters() const = 0;

  /// Replaces parameters by name (all must be given, with their exact shape); optimizer state starts afresh.
  virtual expected<void> set_parameters(std::span<const named_tensor> values) = 0;
};

} // namespace troupe
