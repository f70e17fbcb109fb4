#pragma once

#include "model/routing/router.hpp"

#include <cstdint>
#include <span>

namespace troupe {

/// How evenly experts are used (§9). n = tokens per expert, n̄ their mean.
struct load_health {
  double load_max_over_mean = 0; ///< max n/n̄; 1 at balance
  double load_min_over_mean = 0;
  double balancedness = 0;       ///< n̄/max n
  double load_cv_population = 0; ///< population standard deviation/n̄
  double load_entropy_nats = 0;  ///< −Σ f ln f, f = n/Σn; ln E at balance
  std::uint64_t dead_experts = 0;
};

/// All 0 but `dead_experts` if no token was routed.
load_health health_of(std::span<const std::uint64_t> counts);

/// mean_t −Σ P ln P = mean_t (ln Σ exp z − Σ P z); falls while a router learns to decide.
template <class Real>
double router_entropy(matrix_view<Real> logits, matrix_view<Real> probabilities,
                      std::span<const Real> log_partition);

} // namespace troupe
