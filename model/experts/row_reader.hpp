#pragma once

#include "messages/tensor.hpp"
#include "model/expert.hpp"
#include "model/kernels/kernels.hpp"

#include <cstddef>
#include <cstdint>

namespace troupe {

/// Gathers selected rows as numbers: u8 pixels become value / 255 − mean (model/pixel.hpp), f32 and f64
/// are converted.
template <class Real>
class row_reader {
public:
  /// Checks types, widths and the range, always: a wrong index never reads beyond `input.rows`.
  row_reader(const row_selection& input, std::int64_t width);

  std::int64_t count() const noexcept { return count_; }

  /// Rows [first, first + count) of the selection, written `stride` numbers apart.
  void read(std::int64_t first, std::int64_t count, Real* to, std::ptrdiff_t stride) const {
    read_columns(first, count, 0, width_, to, stride);
  }

  /// Only their columns [column, column + columns).
  void read_columns(std::int64_t first, std::int64_t count, std::int64_t column, std::int64_t columns,
                    Real* to, std::ptrdiff_t stride) const;

private:
  const kernels<Real>& kernels_;
  const std::byte* rows_ = nullptr;
  const std::int32_t* indices_ = nullptr;
  dtype type_ = dtype::f32;
  std::int64_t width_ = 0;
  std::int64_t count_ = 0;
};

/// Working memory of this thread for one block of rows, 64-byte aligned, at least `count` numbers. All
/// experts that a thread computes share it, so it stays in the cache. Valid until the next call on this
/// thread.
template <class Real>
Real* thread_block(std::ptrdiff_t count);

} // namespace troupe
