#pragma once

#include "model/pixel.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace troupe {

/// Rows of A and C: `stride` numbers from one row to the next.
template <class Real>
struct strided {
  Real* data = nullptr;
  std::ptrdiff_t stride = 0;
};

/// What one Adam step multiplies with; see `flat_optimizer`.
template <class Real>
struct adam_factors {
  Real scale = 1; ///< gradient
  Real decay = 0; ///< adam: added decay·p to g
  Real keep = 1;  ///< adamw: p *= keep
  Real beta1 = 0;
  Real rest1 = 1; ///< 1 - beta1
  Real beta2 = 0;
  Real rest2 = 1; ///< 1 - beta2
  Real step = 0;  ///< lr / (1 - beta1^t)
  Real root = 1;  ///< 1 / sqrt(1 - beta2^t)
  Real epsilon = 0;
};

template <class Real>
struct sgd_factors {
  Real scale = 1;
  Real decay = 0;
  Real momentum = 0;
  Real rate = 0;
};

/// The inner loops of experts and optimizers, compiled once per instruction set from one source.
///
/// All instruction sets give the same bits: every number is computed by its own chain of operations in one
/// order (products: a chain of fused multiply-adds over the inner index, beginning with what C holds), so
/// neither the neighbouring rows nor the width of a vector shows. Buffers are 64-byte aligned and padded to
/// whole 64-byte vectors
/// ("lanes" numbers); widths called `padded` are multiples of that.
///
/// A weight matrix [k, n] is held in **panels** of up to 4 vectors of columns: panel p is a dense [k, w]
/// block at p·k·64 bytes·4, w = 4 vectors but for the last panel. See `panels.hpp`.
template <class Real>
struct kernels {
  std::string_view name;

  /// C[m, n] = A[m, k] · B[k, n], or C += with `accumulate`; B in panels.
  void (*multiply)(strided<const Real> a, const Real* b, strided<Real> c, std::ptrdiff_t m, std::ptrdiff_t k,
                   std::ptrdiff_t n_padded, bool accumulate);

  /// C[k, n] = A[m, k]ᵀ · D[m, n], or C += with `accumulate`; C in panels.
  void (*multiply_transposed)(strided<const Real> a, strided<const Real> d, Real* c, std::ptrdiff_t m,
                              std::ptrdiff_t k, std::ptrdiff_t n_padded, bool accumulate);

  /// out[i] = in[i] / 255, correctly rounded, minus pixel_mean.
  void (*pixels)(const std::uint8_t* in, Real* out, std::ptrdiff_t count);

  // Activations on `count` numbers (a multiple of the lanes). Forward: h = act(pre). Backward: d *=
  // act'(pre).
  void (*relu)(const Real* pre, Real* h, std::ptrdiff_t count);
  void (*relu_backward)(const Real* h, Real* d, std::ptrdiff_t count); ///< takes h (or pre): h > 0 where pre
                                                                       ///< > 0
  void (*silu)(const Real* pre, Real* h, std::ptrdiff_t count);
  void (*silu_backward)(const Real* pre, Real* d, std::ptrdiff_t count);
  void (*gelu)(const Real* pre, Real* h, std::ptrdiff_t count);
  void (*gelu_backward)(const Real* pre, Real* d, std::ptrdiff_t count);
  void (*swiglu)(const Real* gate, const Real* up, Real* h, std::ptrdiff_t count);
  /// d = dL/dh; becomes dL/d(up), and d_gate = dL/d(gate).
  void (*swiglu_backward)(const Real* gate, const Real* up, Real* d, Real* d_gate, std::ptrdiff_t count);

  /// x[i, :] += bias
  void (*add_bias)(Real* x, const Real* bias, std::ptrdiff_t rows, std::ptrdiff_t n_padded);
  /// sum[:] += Σ_i x[i, :], i ascending
  void (*add_rows)(const Real* x, Real* sum, std::ptrdiff_t rows, std::ptrdiff_t n_padded);
  /// into += other
  void (*add)(Real* into, const Real* other, std::ptrdiff_t count);
  /// Σ x² in fp64: 16 partial sums by index mod 16, then those in order.
  double (*squared_norm)(const Real* x, std::ptrdiff_t count);

  /// moment may be null if factors.momentum is 0
  void (*sgd)(Real* p, const Real* g, Real* moment, std::ptrdiff_t count, const sgd_factors<Real>& factors);
  void (*adam)(Real* p, const Real* g, Real* m, Real* v, std::ptrdiff_t count,
               const adam_factors<Real>& factors);
};

/// The kernels for this processor's widest known instruction set (avx512, avx2, portable).
/// The environment variable TROUPE_KERNELS may name a narrower one; an unknown name changes nothing.
template <class Real>
const kernels<Real>& best_kernels() noexcept;

/// All kernels that this processor can run, narrowest first: for tests.
template <class Real>
std::span<const kernels<Real>* const> runnable_kernels() noexcept;

} // namespace troupe
