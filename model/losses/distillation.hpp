#pragma once

#include "messages/error.hpp"
#include "model/routing/router.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

/// Parts of the distillation loss, means over tokens in fp64, and its gradient to the student.
template <class Real>
struct distillation_result {
  double cross_entropy = 0;
  double kl = 0; ///< without τ²; 0 iff student and teacher agree
  double total = 0;
  std::vector<Real> gradient; ///< [T, V] of total · scale
};

/// (1−α)·CE(student, label) + α·τ²·KL(softmax(teacher/τ) ‖ softmax(student/τ)) (Hinton 2015). The teacher is
/// constant. Refuses α outside [0, 1], τ ≤ 0, shapes that differ and labels out of range.
template <class Real>
expected<distillation_result<Real>> distil(matrix_view<Real> student, matrix_view<Real> teacher,
                                           std::span<const std::int64_t> labels, double alpha,
                                           double temperature, double scale = 1);

} // namespace troupe
