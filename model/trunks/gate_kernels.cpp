#include "model/trunks/gate_kernels.hpp"

#include "model/pixel.hpp"
#include "model/routing/instruction_sets.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <type_traits>
#include <vector>

namespace troupe {

namespace {

constexpr int partials = 16;
constexpr std::int64_t experts_at_once = 4;
constexpr std::int64_t rows_at_once = 8;

float folded(float* s) {
  for (int n = partials / 2; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) s[i] += s[i + n];
  return s[0];
}

double folded(double* s) {
  for (int n = partials / 2; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) s[i] += s[i + n];
  return s[0];
}

// ---- f32 rows --------------------------------------------------------------------------------------------------------

template <int Experts>
struct logits_kernel {
  template <class Vector>
  static TROUPE_INLINE_KERNEL void run(const float* x, const float* w, std::int64_t rows, std::int64_t width,
                                       float* out, std::int64_t stride) {
    const auto whole = width / partials * partials;
    for (std::int64_t t = 0; t < rows; ++t, x += width) {
      float s[Experts][partials];
      for (int l = 0; l < partials; l += lanes_of<Vector>) {
        Vector sum[Experts] = {};
        for (std::int64_t i = l; i < whole; i += partials)
          for (int e = 0; e < Experts; ++e)
            sum[e] = sum[e] + load<Vector>(x + i) * load<Vector>(w + e * width + i);
        for (int e = 0; e < Experts; ++e) store(s[e] + l, sum[e]);
      }
      for (int e = 0; e < Experts; ++e) {
        for (std::int64_t i = whole; i < width; ++i) s[e][i - whole] += x[i] * w[e * width + i];
        out[t * stride + e] = folded(s[e]);
      }
    }
  }
};

/// out [Experts, width] += Σ of `Rows` rows in order; g [Rows] rows of `stride` numbers.
template <class Vector, int Experts, int Rows>
TROUPE_INLINE_KERNEL void add_outer(const float* x, const float* g, std::int64_t stride, std::int64_t width,
                                    float* out) {
  std::int64_t i = 0;
  for (; i + lanes_of<Vector> <= width; i += lanes_of<Vector>) {
    Vector sum[Experts];
    for (int e = 0; e < Experts; ++e) sum[e] = load<Vector>(out + e * width + i);
    for (int t = 0; t < Rows; ++t) {
      const Vector v = load<Vector>(x + t * width + i);
      for (int e = 0; e < Experts; ++e) sum[e] = sum[e] + v * g[t * stride + e];
    }
    for (int e = 0; e < Experts; ++e) store(out + e * width + i, sum[e]);
  }
  for (; i < width; ++i)
    for (int e = 0; e < Experts; ++e)
      for (int t = 0; t < Rows; ++t) out[e * width + i] += x[t * width + i] * g[t * stride + e];
}

template <int Experts>
struct weight_gradient_kernel {
  template <class Vector>
  static TROUPE_INLINE_KERNEL void run(const float* x, const float* g, std::int64_t rows, std::int64_t width,
                                       float* out, std::int64_t stride) {
    std::int64_t t = 0;
    for (; t + rows_at_once <= rows; t += rows_at_once)
      add_outer<Vector, Experts, rows_at_once>(x + t * width, g + t * stride, stride, width, out);
    for (; t < rows; ++t) add_outer<Vector, Experts, 1>(x + t * width, g + t * stride, stride, width, out);
  }
};

// ---- u8 rows: 64 pixels are 16 words, unpacked by shift and mask; weights and sums lie in the order of unpacking ------

constexpr std::int64_t pixels_at_once = 64;

std::int64_t padded(std::int64_t width) {
  return (width + pixels_at_once - 1) / pixels_at_once * pixels_at_once;
}

/// Where pixel i of a row lies after unpacking: byte b of word j of a block is number b·16 + j.
std::int64_t unpacked_place(std::int64_t i) {
  const auto inside = i % pixels_at_once;
  return i - inside + inside % 4 * 16 + inside / 4;
}

/// The last block of a row, filled up with 0.
struct row_end {
  row_end(const std::uint8_t* row, std::int64_t width) {
    std::memcpy(bytes, row + width / pixels_at_once * pixels_at_once,
                static_cast<std::size_t>(width % pixels_at_once));
  }

  std::uint8_t bytes[pixels_at_once] = {};
};

template <class Vector>
TROUPE_INLINE_KERNEL Vector unpacked(const std::uint8_t* block, int byte) {
  using words = decltype(Vector{} < Vector{});
  return __builtin_convertvector((load<words>(block) >> (8 * byte)) & 255, Vector);
}

template <int Experts>
struct pixel_logits_kernel {
  template <class Vector>
  static TROUPE_INLINE_KERNEL void run(const std::uint8_t* x, const float* w, std::int64_t rows,
                                       std::int64_t width, const float* mean_logits, float* out,
                                       std::int64_t stride) {
    const auto whole = width / pixels_at_once * pixels_at_once;
    const auto row_width = (width + pixels_at_once - 1) / pixels_at_once * pixels_at_once;
    for (std::int64_t t = 0; t < rows; ++t, x += width) {
      const row_end end(x, width);
      float s[Experts][partials];
      for (int l = 0; l < partials; l += lanes_of<Vector>) {
        Vector sum[Experts] = {};
        for (std::int64_t i = 0; i < row_width; i += pixels_at_once) {
          const auto* block = (i < whole ? x + i : end.bytes) + 4 * l;
          for (int b = 0; b < 4; ++b) {
            const auto v = unpacked<Vector>(block, b);
            for (int e = 0; e < Experts; ++e)
              sum[e] = sum[e] + v * load<Vector>(w + e * row_width + i + 16 * b + l);
          }
        }
        for (int e = 0; e < Experts; ++e) store(s[e] + l, sum[e]);
      }
      for (int e = 0; e < Experts; ++e) out[t * stride + e] = folded(s[e]) * (1.0f / 255.0f) - mean_logits[e];
    }
  }
};

template <class Vector, int Experts, int Rows>
TROUPE_INLINE_KERNEL void add_pixel_outer(const std::uint8_t* x, std::int64_t row_stride, const float* g,
                                          std::int64_t stride, float* out, std::int64_t out_stride) {
  for (int l = 0; l < partials; l += lanes_of<Vector>)
    for (int b = 0; b < 4; ++b) {
      Vector sum[Experts];
      for (int e = 0; e < Experts; ++e) sum[e] = load<Vector>(out + e * out_stride + 16 * b + l);
      for (int t = 0; t < Rows; ++t) {
        const auto v = unpacked<Vector>(x + t * row_stride + 4 * l, b);
        for (int e = 0; e < Experts; ++e) sum[e] = sum[e] + v * g[t * stride + e];
      }
      for (int e = 0; e < Experts; ++e) store(out + e * out_stride + 16 * b + l, sum[e]);
    }
}

template <int Experts>
struct pixel_gradient_kernel {
  template <class Vector, int Rows>
  static TROUPE_INLINE_KERNEL void add(const std::uint8_t* x, const float* g, std::int64_t width, float* out,
                                       std::int64_t stride) {
    const auto whole = width / pixels_at_once * pixels_at_once;
    const auto row_width = (width + pixels_at_once - 1) / pixels_at_once * pixels_at_once;
    for (std::int64_t i = 0; i < whole; i += pixels_at_once)
      add_pixel_outer<Vector, Experts, Rows>(x + i, width, g, stride, out + i, row_width);
    if (whole == row_width) return;
    std::uint8_t ends[Rows][pixels_at_once];
    for (int t = 0; t < Rows; ++t) std::memcpy(ends[t], row_end(x + t * width, width).bytes, pixels_at_once);
    add_pixel_outer<Vector, Experts, Rows>(ends[0], pixels_at_once, g, stride, out + whole, row_width);
  }

  template <class Vector>
  static TROUPE_INLINE_KERNEL void run(const std::uint8_t* x, const float* g, std::int64_t rows,
                                       std::int64_t width, float* out, std::int64_t stride) {
    std::int64_t t = 0;
    for (; t + rows_at_once <= rows; t += rows_at_once)
      add<Vector, rows_at_once>(x + t * width, g + t * stride, width, out, stride);
    for (; t < rows; ++t) add<Vector, 1>(x + t * width, g + t * stride, width, out, stride);
  }
};

/// Calls `kernel.operator()<n>(first)` for blocks of n ≤ 4 experts.
template <class F>
void for_expert_blocks(std::int64_t experts, F&& kernel) {
  for (std::int64_t e = 0; e < experts; e += experts_at_once)
    switch (std::min(experts_at_once, experts - e)) {
      case 4: kernel.template operator()<4>(e); break;
      case 3: kernel.template operator()<3>(e); break;
      case 2: kernel.template operator()<2>(e); break;
      default: kernel.template operator()<1>(e); break;
    }
}

/// pixel_mean · Σ_i w[e, i]: what the mean, subtracted from every pixel, takes off logit e.
template <class Real>
std::vector<Real> logits_of_mean(const Real* w, std::int64_t experts, std::int64_t width) {
  std::vector<Real> out;
  for (std::int64_t e = 0; e < experts; ++e)
    out.push_back(static_cast<Real>(pixel_mean * std::accumulate(w + e * width, w + (e + 1) * width, 0.0)));
  return out;
}

/// pixel_mean · Σ_t g[t, e]: what the mean takes off each number of row e of the weight gradient.
template <class Real>
std::vector<Real> gradients_of_mean(const Real* g, std::int64_t rows, std::int64_t experts) {
  std::vector<double> sums(static_cast<std::size_t>(experts));
  for (std::int64_t t = 0; t < rows; ++t)
    for (std::int64_t e = 0; e < experts; ++e) sums[e] += static_cast<double>(g[t * experts + e]);
  std::vector<Real> out;
  for (const auto sum : sums) out.push_back(static_cast<Real>(pixel_mean * sum));
  return out;
}

void logits(const float* x, std::int64_t rows, std::int64_t width, const float* w, std::int64_t experts,
            float* out) {
  for_expert_blocks(experts, [&]<int N>(std::int64_t e) {
    run_widest<logits_kernel<N>>(x, w + e * width, rows, width, out + e, experts);
  });
}

void logits(const std::uint8_t* x, std::int64_t rows, std::int64_t width, const float* w,
            std::int64_t experts, float* out) {
  const auto row_width = padded(width);
  std::vector<float> weight(static_cast<std::size_t>(experts * row_width));
  for (std::int64_t e = 0; e < experts; ++e)
    for (std::int64_t i = 0; i < width; ++i) weight[e * row_width + unpacked_place(i)] = w[e * width + i];
  const auto mean_logits = logits_of_mean(w, experts, width);
  for_expert_blocks(experts, [&]<int N>(std::int64_t e) {
    run_widest<pixel_logits_kernel<N>>(x, static_cast<const float*>(weight.data()) + e * row_width, rows,
                                       width, mean_logits.data() + e, out + e, experts);
  });
}

void weight_gradient(const float* x, std::int64_t rows, std::int64_t width, const float* g,
                     std::int64_t experts, float* out) {
  for_expert_blocks(experts, [&]<int N>(std::int64_t e) {
    run_widest<weight_gradient_kernel<N>>(x, g + e, rows, width, out + e * width, experts);
  });
}

void weight_gradient(const std::uint8_t* x, std::int64_t rows, std::int64_t width, const float* g,
                     std::int64_t experts, float* out) {
  const auto row_width = padded(width);
  std::vector<float> sums(static_cast<std::size_t>(experts * row_width));
  for_expert_blocks(experts, [&]<int N>(std::int64_t e) {
    run_widest<pixel_gradient_kernel<N>>(x, g + e, rows, width, sums.data() + e * row_width, experts);
  });
  const auto mean = gradients_of_mean(g, rows, experts);
  for (std::int64_t e = 0; e < experts; ++e)
    for (std::int64_t i = 0; i < width; ++i)
      out[e * width + i] += sums[e * row_width + unpacked_place(i)] * (1.0f / 255.0f) - mean[e];
}

// ---- double: plain loops ---------------------------------------------------------------------------------------------

double number_of(std::uint8_t pixel) {
  return pixel / 255.0 - pixel_mean;
}

double number_of(double x) {
  return x;
}

template <class Input>
void logits(const Input* x, std::int64_t rows, std::int64_t width, const double* w, std::int64_t experts,
            double* out) {
  for (std::int64_t t = 0; t < rows; ++t)
    for (std::int64_t e = 0; e < experts; ++e) {
      double s[partials] = {};
      for (std::int64_t i = 0; i < width; ++i)
        s[i % partials] += number_of(x[t * width + i]) * w[e * width + i];
      out[t * experts + e] = folded(s);
    }
}

template <class Input>
void weight_gradient(const Input* x, std::int64_t rows, std::int64_t width, const double* g,
                     std::int64_t experts, double* out) {
  for (std::int64_t t = 0; t < rows; ++t)
    for (std::int64_t e = 0; e < experts; ++e)
      for (std::int64_t i = 0; i < width; ++i)
        out[e * width + i] += number_of(x[t * width + i]) * g[t * experts + e];
}

/// Calls `f(data)` with the rows as u8 or as Real.
template <class Real, class F>
void with_rows(const tensor& rows, F&& f) {
  using other = std::conditional_t<std::is_same_v<Real, float>, double, float>;
  if (rows.type() == dtype::u8) return f(rows.as<std::uint8_t>().data());
  if (rows.type() == dtype_of<Real>()) return f(rows.as<Real>().data());
  const auto given = rows.as<other>();
  const std::vector<Real> converted(given.begin(), given.end());
  f(converted.data());
}

} // namespace

template <class Real>
void gate_logits(const tensor& rows, const Real* weight, std::int64_t experts, Real* out) {
  with_rows<Real>(rows,
                  [&](const auto* x) { logits(x, rows.rows(), rows.row_elements(), weight, experts, out); });
}

template <class Real>
void add_gate_weight_gradient(const tensor& rows, const Real* gradient, std::int64_t experts, Real* out) {
  with_rows<Real>(rows, [&](const auto* x) {
    weight_gradient(x, rows.rows(), rows.row_elements(), gradient, experts, out);
  });
}

template <class Real>
void add_gate_input_gradient(const Real* gradient, const Real* weight, std::int64_t tokens,
                             std::int64_t experts, std::int64_t width, Real* out) {
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t e = 0; e < experts; ++e)
      for (std::int64_t i = 0; i < width; ++i)
        out[t * width + i] += gradient[t * experts + e] * weight[e * width + i];
}

#define TROUPE_INSTANTIATE(Real)                                                                             \
  template void gate_logits(const tensor&, const Real*, std::int64_t, Real*);                                \
  template void add_gate_weight_gradient(const tensor&, const Real*, std::int64_t, Real*);                   \
  template void add_gate_input_gradient(const Real*, const Real*, std::int64_t, std::int64_t, std::int64_t,  \
                                        Real*);
TROUPE_INSTANTIATE(float)
TROUPE_INSTANTIATE(double)
#undef TROUPE_INSTANTIATE

} // namespace troupe
