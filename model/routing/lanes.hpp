#pragma once

#include "model/routing/router.hpp"

#include <cstdint>

namespace troupe {

/// Rows that a kernel works on side by side: short rows (E = 4 … 256) are turned on their side so that every
/// operation is one on vectors, and each row's sums keep their order. A block is [columns, lanes].
inline constexpr int lanes = 16;

/// Rows [first, first + n) of `from` → `block`; lanes beyond n get 0.
template <class Real>
void load_lanes(matrix_view<Real> from, std::int64_t first, std::int64_t n, Real* block) {
  const Real* rows = from.data + first * from.columns;
  for (std::int64_t c = 0; c < from.columns; ++c) {
    Real* lane = block + c * lanes;
    for (std::int64_t l = 0; l < n; ++l) lane[l] = rows[l * from.columns + c];
    for (std::int64_t l = n; l < lanes; ++l) lane[l] = 0;
  }
}

/// The inverse of `load_lanes`, into the full matrix `to` [rows, columns].
template <class Real>
void store_lanes(const Real* block, std::int64_t columns, std::int64_t first, std::int64_t n, Real* to) {
  Real* rows = to + first * columns;
  for (std::int64_t c = 0; c < columns; ++c)
    for (std::int64_t l = 0; l < n; ++l) rows[l * columns + c] = block[c * lanes + l];
}

// Kernels on one block. Compiled for several instruction sets with the same bits: lanes never meet,
// contraction is off.

/// z [E, 16] → softmax over E of each lane; `maximum` [16] and `sum` [16] of exp(z − maximum).
void softmax_block(float* z, std::int64_t experts, float* maximum, float* sum);
void softmax_block(double* z, std::int64_t experts, double* maximum, double* sum);

/// chosen [16] ← the expert of the largest score of each lane, lowest index on ties; its score becomes −∞.
void take_best(float* score, std::int64_t experts, std::int32_t* chosen);
void take_best(double* score, std::int64_t experts, std::int32_t* chosen);

/// p [E, 16] → p_j (w_j − Σ_i w_i p_i).
void mean_gradient_block(float* p, const float* weight, std::int64_t experts);
void mean_gradient_block(double* p, const double* weight, std::int64_t experts);

} // namespace troupe
