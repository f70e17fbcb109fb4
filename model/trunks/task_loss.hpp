#pragma once

#include "messages/error.hpp"
#include "model/routing/router.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

/// A task loss, its gradient and what it got right.
template <class Real>
struct task_result {
  double loss = 0;            ///< mean over rows, fp64 sum
  double correct = 0;         ///< rows whose largest output (lowest index on ties) is the label
  std::vector<Real> gradient; ///< [T, C] of loss · scale; empty if scale is 0
};

/// Cross-entropy of softmax(y), mean over rows. `labels` in [0, C) (the caller has checked).
template <class Real>
task_result<Real> cross_entropy(matrix_view<Real> y, std::span<const std::int64_t> labels, double scale);

/// mean(y²) over rows and columns.
template <class Real>
task_result<Real> mean_square(matrix_view<Real> y, double scale);

} // namespace troupe
