#include "model/trunks/wide_gate.hpp"

#include "model/experts/row_reader.hpp"
#include "model/kernels/aligned_buffer.hpp"
#include "model/kernels/flush_subnormals.hpp"
#include "model/kernels/kernels.hpp"
#include "model/kernels/panels.hpp"
#include "model/trunks/gate_kernels.hpp"

#include <algorithm>
#include <numeric>

namespace troupe {

namespace {

constexpr std::int64_t block_rows = 96;     ///< as many as an expert reads at once: they stay in the cache
constexpr std::int64_t block_columns = 112; ///< of a weight gradient: the sums of 256 experts stay in the
                                            ///< cache, too

template <class Real>
std::ptrdiff_t padded(std::int64_t width) {
  return static_cast<std::ptrdiff_t>(aligned_buffer<Real>::padded(static_cast<std::size_t>(width)));
}

/// All rows in their order, as numbers.
template <class Real>
class numbers_of {
public:
  explicit numbers_of(const tensor& rows)
    : every_(all_of(rows)), reader_(every_, rows.row_elements()),
      flops_per_expert_(2.0 * static_cast<double>(rows.rows() * rows.row_elements())) {
    // nop
  }

  std::int64_t count() const { return reader_.count(); }

  double flops(std::int64_t experts) const { return flops_per_expert_ * static_cast<double>(experts); }

  /// Rows [first, first + rows), their columns [column, column + columns), `columns` padded apart.
  strided<const Real> read(std::int64_t first, std::int64_t rows, std::int64_t column, std::int64_t columns,
                           Real* to) const {
    reader_.read_columns(first, rows, column, columns, to, padded<Real>(columns));
    return {to, padded<Real>(columns)};
  }

private:
  static row_selection all_of(const tensor& rows) {
    auto indices = tensor::allocate(dtype::i32, {rows.rows()});
    auto numbers = indices.template mutable_as<std::int32_t>();
    std::iota(numbers.begin(), numbers.end(), 0);
    return {rows, indices, 0, static_cast<std::uint32_t>(rows.rows())};
  }

  row_selection every_; ///< the reader looks into it
  row_reader<Real> reader_;
  double flops_per_expert_;
};

template <class Real>
void wide_product(const tensor& rows, const Real* weight, std::int64_t experts, Real* out,
                  const parallel_for& share) {
  const panels<Real> where{rows.row_elements(), experts};
  aligned_buffer<Real> packed(where.size());
  where.pack(weight, packed.data());
  const numbers_of<Real> numbers(rows);
  const pieces blocks(numbers.count(), block_rows, numbers.flops(experts));
  blocks.for_each(share, [&](std::int64_t begin, std::int64_t length) {
    const flush_subnormals bracket;
    auto* memory = thread_block<Real>(block_rows * (padded<Real>(where.k) + where.n_padded()));
    auto* product = memory + block_rows * padded<Real>(where.k);
    for (std::int64_t first = begin; first < begin + length; first += block_rows) {
      const auto count = std::min(block_rows, begin + length - first);
      best_kernels<Real>().multiply(numbers.read(first, count, 0, where.k, memory), packed.data(),
                                    {product, where.n_padded()}, count, where.k, where.n_padded(), false);
      for (std::int64_t i = 0; i < count; ++i)
        std::copy_n(product + i * where.n_padded(), experts, out + (first + i) * experts);
    }
  });
}

/// `gradient` [T, experts] with rows of whole vectors: itself where it has them, else a copy.
template <class Real>
const Real* padded_rows(const Real* gradient, std::int64_t rows, std::int64_t experts, std::ptrdiff_t stride,
                        aligned_buffer<Real>& memory) {
  if (stride == experts) return gradient;
  memory = aligned_buffer<Real>(static_cast<std::size_t>(rows * stride)); // padding stays 0
  for (std::int64_t i = 0; i < rows; ++i)
    std::copy_n(gradient + i * experts, experts, memory.data() + i * stride);
  return memory.data();
}

template <class Real>
void add_wide_gradient(const tensor& rows, const Real* gradient, std::int64_t experts, Real* out,
                       const parallel_for& share) {
  const auto width = rows.row_elements();
  const auto stride = padded<Real>(experts);
  const numbers_of<Real> numbers(rows);
  aligned_buffer<Real> memory;
  const Real* g = padded_rows(gradient, numbers.count(), experts, stride, memory);
  const auto columns = [&](std::int64_t column, std::int64_t count) {
    const panels<Real> where{count, experts};
    auto* block = thread_block<Real>(block_rows * padded<Real>(count)
                                     + static_cast<std::ptrdiff_t>(where.size()));
    auto* sum = block + block_rows * padded<Real>(count);
    for (std::int64_t first = 0; first < numbers.count(); first += block_rows) {
      const auto some = std::min(block_rows, numbers.count() - first);
      best_kernels<Real>().multiply_transposed(numbers.read(first, some, column, count, block),
                                               {g + first * stride, stride}, sum, some, count, stride,
                                               first > 0);
    }
    where.for_each([=](auto row, auto expert, auto at) { out[expert * width + column + row] += sum[at]; });
  };
  const pieces blocks(width, block_columns, numbers.flops(experts));
  blocks.for_each(share, [&](std::int64_t begin, std::int64_t length) {
    const flush_subnormals bracket;
    for (std::int64_t column = begin; column < begin + length; column += block_columns)
      columns(column, std::min(block_columns, begin + length - column));
  });
}

} // namespace

template <class Real>
void gate_product(const tensor& rows, const Real* weight, std::int64_t experts, Real* out,
                  const parallel_for& share) {
  experts < wide_gate_experts ? gate_logits(rows, weight, experts, out)
                              : wide_product(rows, weight, experts, out, share);
}

template <class Real>
void add_gate_gradient(const tensor& rows, const Real* gradient, std::int64_t experts, Real* out,
                       const parallel_for& share) {
  experts < wide_gate_experts ? add_gate_weight_gradient(rows, gradient, experts, out)
                              : add_wide_gradient(rows, gradient, experts, out, share);
}

template void gate_product(const tensor&, const float*, std::int64_t, float*, const parallel_for&);
template void gate_product(const tensor&, const double*, std::int64_t, double*, const parallel_for&);
template void add_gate_gradient(const tensor&, const float*, std::int64_t, float*, const parallel_for&);
template void add_gate_gradient(const tensor&, const double*, std::int64_t, double*, const parallel_for&);

} // namespace troupe
