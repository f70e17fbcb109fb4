#pragma once

#include "model/routing/router.hpp"

#include <cstdint>

namespace troupe {

/// Rows that a kernel works on side by side: short rows (E = 4 … 256) are turned on their side so that every
/// operation is one on vectors, and each row's sums keep their order. A block is [columns, lanes].
inline constexpr int lanes = 16;

/// Rows [first, first + n) of `from` → `block`; lanes beyond n get 0.
void load_lanes(matrix_view<float> from, std::int64_t first, std::int64_t n, float* block);
void load_lanes(matrix_view<double> from, std::int64_t first, std::int64_t n, double* block);

/// The inverse of `load_lanes`: n lanes of `block` [columns, 16] → `rows` [n, columns].
void store_lanes(const float* block, std::int64_t columns, std::int64_t n, float* rows);
void store_lanes(const double* block, std::int64_t columns, std::int64_t n, double* rows);

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
