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

constexpr std::int64_t block_rows = 96; ///< as many as an expert reads at once: they stay in the cache

/// All rows in their order, as numbers, block by block.
template <class Real>
class row_blocks {
public:
  explicit row_blocks(const tensor& rows)
    : every_(all_of(rows)), stride_(padded(rows.row_elements())), reader_(every_, rows.row_elements()),
      memory_(static_cast<std::size_t>(block_rows * stride_)) {
    // nop
  }

  /// Calls f(first row, rows, numbers) for every block.
  template <class F>
  void for_each(F&& f) {
    for (std::int64_t first = 0; first < reader_.count(); first += block_rows) {
      const auto count = std::min(block_rows, reader_.count() - first);
      reader_.read(first, count, memory_.data(), stride_);
      f(first, count, strided<const Real>{memory_.data(), stride_});
    }
  }

private:
  static row_selection all_of(const tensor& rows) {
    auto indices = tensor::allocate(dtype::i32, {rows.rows()});
    auto numbers = indices.template mutable_as<std::int32_t>();
    std::iota(numbers.begin(), numbers.end(), 0);
    return {rows, indices, 0, static_cast<std::uint32_t>(rows.rows())};
  }

  static std::ptrdiff_t padded(std::int64_t width) {
    return static_cast<std::ptrdiff_t>(aligned_buffer<Real>::padded(static_cast<std::size_t>(width)));
  }

  row_selection every_; ///< the reader looks into it
  std::ptrdiff_t stride_;
  row_reader<Real> reader_;
  aligned_buffer<Real> memory_;
};

template <class Real>
void wide_product(const tensor& rows, const Real* weight, std::int64_t experts, Real* out) {
  const flush_subnormals bracket;
  const panels<Real> where{rows.row_elements(), experts};
  aligned_buffer<Real> packed(where.size());
  where.pack(weight, packed.data());
  aligned_buffer<Real> block(static_cast<std::size_t>(block_rows * where.n_padded()));
  row_blocks<Real>(rows).for_each([&](auto first, auto count, auto x) {
    best_kernels<Real>().multiply(x, packed.data(), {block.data(), where.n_padded()}, count, where.k,
                                  where.n_padded(), false);
    for (std::int64_t i = 0; i < count; ++i)
      std::copy_n(block.data() + i * where.n_padded(), experts, out + (first + i) * experts);
  });
}

template <class Real>
void add_wide_gradient(const tensor& rows, const Real* gradient, std::int64_t experts, Real* out) {
  const flush_subnormals bracket;
  const panels<Real> where{rows.row_elements(), experts};
  aligned_buffer<Real> sum(where.size());
  aligned_buffer<Real> block(static_cast<std::size_t>(block_rows * where.n_padded())); // padding stays 0
  row_blocks<Real>(rows).for_each([&](auto first, auto count, auto x) {
    for (std::int64_t i = 0; i < count; ++i)
      std::copy_n(gradient + (first + i) * experts, experts, block.data() + i * where.n_padded());
    best_kernels<Real>().multiply_transposed(x, {block.data(), where.n_padded()}, sum.data(), count, where.k,
                                             where.n_padded(), true);
  });
  where.for_each([&](auto row, auto column, auto at) { out[column * where.k + row] += sum.data()[at]; });
}

} // namespace

template <class Real>
void gate_product(const tensor& rows, const Real* weight, std::int64_t experts, Real* out) {
  experts < wide_gate_experts ? gate_logits(rows, weight, experts, out)
                              : wide_product(rows, weight, experts, out);
}

template <class Real>
void add_gate_gradient(const tensor& rows, const Real* gradient, std::int64_t experts, Real* out) {
  experts < wide_gate_experts ? add_gate_weight_gradient(rows, gradient, experts, out)
                              : add_wide_gradient(rows, gradient, experts, out);
}

template void gate_product(const tensor&, const float*, std::int64_t, float*);
template void gate_product(const tensor&, const double*, std::int64_t, double*);
template void add_gate_gradient(const tensor&, const float*, std::int64_t, float*);
template void add_gate_gradient(const tensor&, const double*, std::int64_t, double*);

} // namespace troupe
