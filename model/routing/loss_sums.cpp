#include "model/routing/lanes.hpp"
#include "model/routing/loss_makers.hpp"

#include <algorithm>

namespace troupe {

template <class Real>
std::vector<double> column_sums(matrix_view<Real> m) {
  std::vector<double> out(static_cast<std::size_t>(m.columns));
  for (std::int64_t t = 0; t < m.rows; ++t)
    for (std::int64_t e = 0; e < m.columns; ++e) out[e] += static_cast<double>(m.data[t * m.columns + e]);
  return out;
}

template <class Real>
void add_mean_gradient(matrix_view<Real> p, const Real* weight, const Real* score, Real* gradient) {
  std::vector<Real> block(static_cast<std::size_t>(p.columns * lanes));
  std::vector<Real> of_rows(block.size());
  for (std::int64_t first = 0; first < p.rows; first += lanes) {
    const auto n = std::min<std::int64_t>(lanes, p.rows - first);
    const auto at = first * p.columns;
    load_lanes(p, first, n, block.data());
    mean_gradient_block(block.data(), weight, p.columns);
    store_lanes(block.data(), p.columns, n, of_rows.data());
    for (std::int64_t i = 0; i < n * p.columns; ++i)
      gradient[at + i] += score == nullptr ? of_rows[i] : of_rows[i] * (1 - score[at + i]);
  }
}

template std::vector<double> column_sums(matrix_view<float>);
template std::vector<double> column_sums(matrix_view<double>);
template void add_mean_gradient(matrix_view<float>, const float*, const float*, float*);
template void add_mean_gradient(matrix_view<double>, const double*, const double*, double*);

} // namespace troupe
