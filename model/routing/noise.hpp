#pragma once

#include "model/routing/router.hpp"

#include <span>
#include <vector>

namespace troupe {

/// H and σ_n of §2.4, both [T, E].
template <class Real>
struct noisy_logits {
  std::vector<Real> values;
  std::vector<Real> sigma;
};

/// H = z + ε·(softplus(raw) + floor). `normal` = ε [T, E]; empty: no draw. Throws `run_failure` where that
/// overflows.
template <class Real>
noisy_logits<Real> add_noise(matrix_view<Real> logits, matrix_view<Real> noise_logits,
                             std::span<const Real> normal, double floor);

} // namespace troupe
