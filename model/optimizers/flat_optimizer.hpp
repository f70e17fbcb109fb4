#pragma once

#include "messages/error.hpp"
#include "model/configuration.hpp"
#include "model/kernels/aligned_buffer.hpp"
#include "model/parameter_set.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace troupe {

/// Numbers that the optimizer keeps beside each parameter: adam and adamw 2, sgd 1 with momentum, else 0.
std::size_t moments_of(const optimizer_options& options) noexcept;

/// SGD, Adam or AdamW over one flat buffer, fused into one pass; the formulas and defaults of torch.optim:
///
/// - sgd: g += weight_decay·p; m = momentum·m + g; p -= lr·m (m = g without momentum)
/// - adam: g += weight_decay·p; m, v as usual; p -= lr/(1-β1ᵗ) · m / (√v/√(1-β2ᵗ) + ε)
/// - adamw: p *= 1 - lr·weight_decay; then as adam
///
/// with g = gradient · update.scale and t = update.index + 1. Subnormal numbers count as 0 (a moment that has
/// decayed that far costs a hundred times more to compute and changes nothing). Elements are independent of
/// each other, so neither the layout nor the instruction set shows in the bits.
template <class Real>
class flat_optimizer {
public:
  /// `options.name` must be sgd, adam or adamw (checked by `validate`).
  flat_optimizer(const optimizer_options& options, std::size_t size);

  /// One step. Both spans hold `size` numbers; best 64-byte aligned.
  void step(std::span<Real> parameters, std::span<const Real> gradient, const update& u);

  std::size_t size() const noexcept { return size_; }

  /// Moments back to 0.
  void reset() noexcept;

  /// The moments as bytes: `saved_bytes()` of them, little endian, m before v.
  std::size_t saved_bytes() const noexcept;
  void save(std::span<std::byte> into) const noexcept;

  /// Takes over what `save` wrote; refuses another length and changes nothing then.
  expected<void> load(std::span<const std::byte> from);

private:
  enum class rule : std::uint8_t { sgd, adam, adamw };

  void sgd(std::span<Real> parameters, std::span<const Real> gradient, const update& u);
  void adam(std::span<Real> parameters, std::span<const Real> gradient, const update& u);

  optimizer_options options_;
  rule rule_ = rule::sgd;
  std::size_t size_ = 0;
  aligned_buffer<Real> first_;  ///< m: none for sgd without momentum
  aligned_buffer<Real> second_; ///< v: adam, adamw
};

} // namespace troupe
