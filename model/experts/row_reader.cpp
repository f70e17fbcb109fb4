#include "model/experts/row_reader.hpp"

#include "messages/check.hpp"
#include "model/kernels/aligned_buffer.hpp"

#include <algorithm>
#include <cstring>
#include <string>

namespace troupe {

namespace {

template <class From, class Real>
void convert(const std::byte* row, Real* to, std::int64_t width) {
  const auto* from = reinterpret_cast<const From*>(row);
  std::transform(from, from + width, to, [](From v) { return static_cast<Real>(v); });
}

} // namespace

template <class Real>
row_reader<Real>::row_reader(const row_selection& input, std::int64_t width)
  : kernels_(best_kernels<Real>()), width_(width) {
  const auto indices = input.indices.template as<std::int32_t>();
  TROUPE_CHECK(input.begin <= input.end && input.end <= indices.size(),
               "selection: got [" + std::to_string(input.begin) + ", " + std::to_string(input.end) + ") of "
                 + std::to_string(indices.size()) + " indices");
  count_ = input.end - input.begin;
  if (count_ == 0) return;
  TROUPE_CHECK(input.rows.present() && input.rows.row_elements() == width && input.rows.type() != dtype::i32
                 && input.rows.type() != dtype::i64,
               "rows: got " + to_string(input.rows.type()) + " " + to_string(input.rows.dims())
                 + ", expected u8, f32 or f64 [rows, " + std::to_string(width) + "]");
  const auto rows = input.rows.rows();
  for (auto i : indices.subspan(input.begin, static_cast<std::size_t>(count_)))
    TROUPE_CHECK(i >= 0 && i < rows,
                 "row index: got " + std::to_string(i) + " of " + std::to_string(rows) + " rows");
  rows_ = input.rows.data().data();
  type_ = input.rows.type();
  indices_ = indices.data() + input.begin;
}

template <class Real>
void row_reader<Real>::read_columns(std::int64_t first, std::int64_t count, std::int64_t column,
                                    std::int64_t columns, Real* to, std::ptrdiff_t stride) const {
  const auto number_bytes = static_cast<std::ptrdiff_t>(size_of(type_));
  for (std::int64_t i = first; i < first + count; ++i, to += stride) {
    const auto* row = rows_ + (indices_[i] * width_ + column) * number_bytes;
    if (type_ == dtype::u8)
      kernels_.pixels(reinterpret_cast<const std::uint8_t*>(row), to, columns);
    else if (type_ == dtype_of<Real>())
      std::memcpy(to, row, static_cast<std::size_t>(columns * number_bytes));
    else if (type_ == dtype::f32)
      convert<float>(row, to, columns);
    else
      convert<double>(row, to, columns);
  }
}

template <class Real>
Real* thread_block(std::ptrdiff_t count) {
  thread_local aligned_buffer<Real> memory;
  if (memory.size() < static_cast<std::size_t>(count))
    memory = aligned_buffer<Real>(static_cast<std::size_t>(count));
  return memory.data();
}

template class row_reader<float>;
template class row_reader<double>;
template float* thread_block(std::ptrdiff_t);
template double* thread_block(std::ptrdiff_t);

} // namespace troupe
