#include "model/routing/lanes.hpp"

#include "model/routing/instruction_sets.hpp"

#include <bit>
#include <cmath>
#include <limits>

namespace troupe {

namespace {

// ---- turning rows on their side --------------------------------------------------------------------------------------

template <class Real>
void load_columns(const Real* rows, std::int64_t columns, std::int64_t begin, std::int64_t n, Real* block) {
  for (std::int64_t c = begin; c < columns; ++c) {
    Real* lane = block + c * lanes;
    for (std::int64_t l = 0; l < n; ++l) lane[l] = rows[l * columns + c];
    for (std::int64_t l = n; l < lanes; ++l) lane[l] = 0;
  }
}

template <class Real>
void store_columns(const Real* block, std::int64_t columns, std::int64_t begin, std::int64_t n, Real* rows) {
  for (std::int64_t c = begin; c < columns; ++c)
    for (std::int64_t l = 0; l < n; ++l) rows[l * columns + c] = block[c * lanes + l];
}

/// Four rows of four numbers become columns.
TROUPE_INLINE_KERNEL void turn_square(const float* from, std::int64_t from_stride, float* to,
                                      std::int64_t to_stride) {
  const auto a = load<floats4>(from);
  const auto b = load<floats4>(from + from_stride);
  const auto c = load<floats4>(from + 2 * from_stride);
  const auto d = load<floats4>(from + 3 * from_stride);
  const auto ab_left = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const auto ab_right = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const auto cd_left = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const auto cd_right = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  store(to, __builtin_shufflevector(ab_left, cd_left, 0, 1, 4, 5));
  store(to + to_stride, __builtin_shufflevector(ab_left, cd_left, 2, 3, 6, 7));
  store(to + 2 * to_stride, __builtin_shufflevector(ab_right, cd_right, 0, 1, 4, 5));
  store(to + 3 * to_stride, __builtin_shufflevector(ab_right, cd_right, 2, 3, 6, 7));
}

/// How many columns a full block can turn by squares.
std::int64_t square_columns(std::int64_t columns, std::int64_t n) {
  return n == lanes ? columns / 4 * 4 : 0;
}

// ---- float: vectors of the instruction set's width -------------------------------------------------------------------

/// exp(x) for x ≤ 0 to 2 ulp, 0 below −87.3: Cephes' polynomial.
template <class Vector>
TROUPE_INLINE_KERNEL Vector exp_negative(Vector x) {
  using integers = decltype(x < x);
  const Vector shifted = x * 1.44269504f + 12582912.0f;
  const Vector n = shifted - 12582912.0f;
  Vector r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  Vector p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const Vector y = p * (r * r) + r + 1.0f;
  const Vector scale = reinterpret_cast<Vector>((__builtin_convertvector(n, integers) + 127) << 23);
  return x < -87.33f ? Vector{} : y * scale;
}

struct softmax_kernel {
  template <class Vector>
  static TROUPE_INLINE_KERNEL void run(float* z, std::int64_t experts, float* maximum, float* sum) {
    for (int l = 0; l < lanes; l += lanes_of<Vector>) {
      Vector top = load<Vector>(z + l);
      for (std::int64_t e = 1; e < experts; ++e) {
        const Vector v = load<Vector>(z + e * lanes + l);
        top = v > top ? v : top;
      }
      Vector total{};
      for (std::int64_t e = 0; e < experts; ++e) {
        const Vector v = exp_negative(load<Vector>(z + e * lanes + l) - top);
        total = total + v;
        store(z + e * lanes + l, v);
      }
      for (std::int64_t e = 0; e < experts; ++e)
        store(z + e * lanes + l, load<Vector>(z + e * lanes + l) / total);
      store(maximum + l, top);
      store(sum + l, total);
    }
  }
};

struct best_kernel {
  template <class Vector>
  static TROUPE_INLINE_KERNEL void run(float* score, std::int64_t experts, std::int32_t* chosen) {
    using integers = decltype(Vector{} < Vector{});
    const Vector nothing = Vector{} - std::numeric_limits<float>::infinity();
    for (int l = 0; l < lanes; l += lanes_of<Vector>) {
      Vector best = nothing;
      integers where = integers{} - 1;
      for (std::int64_t e = 0; e < experts; ++e) {
        const Vector v = load<Vector>(score + e * lanes + l);
        const auto better = v > best;
        where = better ? integers{} + static_cast<std::int32_t>(e) : where;
        best = better ? v : best;
      }
      for (std::int64_t e = 0; e < experts; ++e) {
        const Vector v = load<Vector>(score + e * lanes + l);
        store(score + e * lanes + l, where == static_cast<std::int32_t>(e) ? nothing : v);
      }
      store(chosen + l, where);
    }
  }
};

struct mean_gradient_kernel {
  template <class Vector>
  static TROUPE_INLINE_KERNEL void run(float* p, const float* weight, std::int64_t experts) {
    for (int l = 0; l < lanes; l += lanes_of<Vector>) {
      Vector inner{};
      for (std::int64_t e = 0; e < experts; ++e) inner = inner + load<Vector>(p + e * lanes + l) * weight[e];
      for (std::int64_t e = 0; e < experts; ++e)
        store(p + e * lanes + l, load<Vector>(p + e * lanes + l) * (weight[e] - inner));
    }
  }
};

} // namespace

void load_lanes(matrix_view<float> from, std::int64_t first, std::int64_t n, float* block) {
  const float* rows = from.data + first * from.columns;
  const auto whole = square_columns(from.columns, n);
  for (std::int64_t c = 0; c < whole; c += 4)
    for (std::int64_t l = 0; l < lanes; l += 4)
      turn_square(rows + l * from.columns + c, from.columns, block + c * lanes + l, lanes);
  load_columns(rows, from.columns, whole, n, block);
}

void store_lanes(const float* block, std::int64_t columns, std::int64_t n, float* rows) {
  const auto whole = square_columns(columns, n);
  for (std::int64_t l = 0; l < lanes && whole > 0; l += 4)
    for (std::int64_t c = 0; c < whole; c += 4)
      turn_square(block + c * lanes + l, lanes, rows + l * columns + c, columns);
  store_columns(block, columns, whole, n, rows);
}

void softmax_block(float* z, std::int64_t experts, float* maximum, float* sum) {
  run_widest<softmax_kernel>(z, experts, maximum, sum);
}

void take_best(float* score, std::int64_t experts, std::int32_t* chosen) {
  run_widest<best_kernel>(score, experts, chosen);
}

void mean_gradient_block(float* p, const float* weight, std::int64_t experts) {
  run_widest<mean_gradient_kernel>(p, weight, experts);
}

// ---- double: plain loops ---------------------------------------------------------------------------------------------

void load_lanes(matrix_view<double> from, std::int64_t first, std::int64_t n, double* block) {
  load_columns(from.data + first * from.columns, from.columns, 0, n, block);
}

void store_lanes(const double* block, std::int64_t columns, std::int64_t n, double* rows) {
  store_columns(block, columns, 0, n, rows);
}

void softmax_block(double* z, std::int64_t experts, double* maximum, double* sum) {
  for (int l = 0; l < lanes; ++l) {
    maximum[l] = z[l];
    for (std::int64_t e = 1; e < experts; ++e)
      maximum[l] = z[e * lanes + l] > maximum[l] ? z[e * lanes + l] : maximum[l];
    sum[l] = 0;
    for (std::int64_t e = 0; e < experts; ++e)
      sum[l] += z[e * lanes + l] = std::exp(z[e * lanes + l] - maximum[l]);
    for (std::int64_t e = 0; e < experts; ++e) z[e * lanes + l] /= sum[l];
  }
}

void take_best(double* score, std::int64_t experts, std::int32_t* chosen) {
  constexpr auto nothing = -std::numeric_limits<double>::infinity();
  for (int l = 0; l < lanes; ++l) {
    double best = nothing;
    chosen[l] = -1;
    for (std::int64_t e = 0; e < experts; ++e)
      if (score[e * lanes + l] > best) {
        best = score[e * lanes + l];
        chosen[l] = static_cast<std::int32_t>(e);
      }
    if (chosen[l] >= 0) score[chosen[l] * lanes + l] = nothing;
  }
}

void mean_gradient_block(double* p, const double* weight, std::int64_t experts) {
  for (int l = 0; l < lanes; ++l) {
    double inner = 0;
    for (std::int64_t e = 0; e < experts; ++e) inner += p[e * lanes + l] * weight[e];
    for (std::int64_t e = 0; e < experts; ++e) p[e * lanes + l] *= weight[e] - inner;
  }
}

} // namespace troupe
