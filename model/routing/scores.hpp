#pragma once

#include "messages/error.hpp"
#include "model/routing/router.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// Softmax of every row and its log-partition: what routers, losses and metrics share.
template <class Real>
struct gate_scores {
  std::vector<Real> probabilities; ///< [T, E]
  std::vector<Real> log_partition; ///< [T] ln Σ_e exp z, row maximum subtracted first

  matrix_view<Real> view(std::int64_t columns) const {
    return {probabilities.data(), static_cast<std::int64_t>(log_partition.size()), columns};
  }
};

/// Softmax over each row. A row's result does not depend on the other rows.
template <class Real>
gate_scores<Real> softmax_rows(matrix_view<Real> logits);

/// Refuses logits that are not finite, naming the layer and the first such token.
template <class Real>
expected<void> check_finite(matrix_view<Real> logits, std::uint16_t layer);

/// Throws `run_failure` if one of `values` ([T, E], [T, 1] or [1, E]), which were computed from finite
/// logits, is not finite; names its token and expert.
template <class Real>
void require_finite(matrix_view<Real> values, const char* what);

} // namespace troupe
