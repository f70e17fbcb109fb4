#pragma once

#include "model/kernels/aligned_buffer.hpp"

#include <algorithm>
#include <cstddef>

namespace troupe {

/// Where a [k, n] matrix lies in panels (see `kernels`): n is padded to whole 64-byte vectors, columns are
/// cut into panels of 4 vectors, each a dense [k, w] block. The multiplication reads panels front to back,
/// whatever k and n.
template <class Real>
struct panels {
  static constexpr std::ptrdiff_t lanes = aligned_buffer<Real>::lanes;
  static constexpr std::ptrdiff_t panel_width = 4 * lanes;

  std::ptrdiff_t k = 0;
  std::ptrdiff_t n = 0;

  std::ptrdiff_t n_padded() const noexcept { return (n + lanes - 1) / lanes * lanes; }

  std::size_t size() const noexcept { return static_cast<std::size_t>(k * n_padded()); }

  /// Calls f(row, column, position) for every element that is not padding, panel by panel, row by row.
  template <class F>
  void for_each(F&& f) const {
    for (std::ptrdiff_t first = 0; first < n; first += panel_width) {
      const auto width = std::min(panel_width, n_padded() - first);
      const auto used = std::min(panel_width, n - first);
      for (std::ptrdiff_t row = 0; row < k; ++row)
        for (std::ptrdiff_t j = 0; j < used; ++j) f(row, first + j, first * k + row * width + j);
    }
  }

  /// to = panels of `transposed`ᵀ, where `transposed` is row-major [n, k]. Padding is left as it is.
  void pack(const Real* transposed, Real* to) const {
    for_each([=, this](auto row, auto column, auto at) { to[at] = transposed[column * k + row]; });
  }

  /// The inverse of `pack`.
  void unpack(const Real* from, Real* transposed) const {
    for_each([=, this](auto row, auto column, auto at) { transposed[column * k + row] = from[at]; });
  }

  /// Padding back to 0.
  void clear_padding(Real* data) const {
    const auto last = n / panel_width * panel_width; // the only panel that can have padding
    const auto width = n_padded() - last;
    for (std::ptrdiff_t row = 0; row < k; ++row)
      for (std::ptrdiff_t j = n - last; j < width; ++j) data[last * k + row * width + j] = 0;
  }
};

/// to = panels of Mᵀ, where `from` holds M [k, n] in panels: for products with the transposed matrix.
template <class Real>
void transpose_panels(const panels<Real>& of, const Real* from, Real* to) {
  const panels<Real> result{of.n, of.k};
  constexpr auto wide = panels<Real>::panel_width;
  of.for_each([=, &result](auto row, auto column, auto at) {
    const auto first = row / wide * wide;
    const auto width = std::min(wide, result.n_padded() - first);
    to[first * result.k + column * width + (row - first)] = from[at];
  });
}

} // namespace troupe
