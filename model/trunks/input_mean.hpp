#pragma once

#include <cstdint>
#include <span>

namespace troupe {

// The router's inputs are rows less their mean. Rows stay bytes: the mean is taken off the products, which
// are linear in it. Sums in double precision, in order: no result depends on the instruction set.

/// logits [T, E] −= mean·wᵀ; mean [width], w [experts, width].
template <class Real>
void take_mean_off_logits(std::span<const Real> mean, const Real* w, std::int64_t experts,
                          std::span<Real> logits);

/// to [experts, width] −= (Σ_t g[t, e])·mean; g [T, experts].
template <class Real>
void take_mean_off_gradient(std::span<const Real> mean, std::span<const Real> g, std::int64_t experts,
                            Real* to);

} // namespace troupe
