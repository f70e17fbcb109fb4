#include "model/routing/scores.hpp"

#include "model/routing/lanes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace troupe {

template <class Real>
gate_scores<Real> softmax_rows(matrix_view<Real> logits) {
  gate_scores<Real> out;
  out.probabilities.resize(static_cast<std::size_t>(logits.rows * logits.columns));
  out.log_partition.resize(static_cast<std::size_t>(logits.rows));
  std::vector<Real> block(static_cast<std::size_t>(logits.columns * lanes));
  Real maximum[lanes];
  Real sum[lanes];
  for (std::int64_t first = 0; first < logits.rows; first += lanes) {
    const auto n = std::min<std::int64_t>(lanes, logits.rows - first);
    load_lanes(logits, first, n, block.data());
    softmax_block(block.data(), logits.columns, maximum, sum);
    store_lanes(block.data(), logits.columns, first, n, out.probabilities.data());
    for (std::int64_t l = 0; l < n; ++l) out.log_partition[first + l] = maximum[l] + std::log(sum[l]);
  }
  return out;
}

template <class Real>
expected<void> check_finite(matrix_view<Real> logits, std::uint16_t layer) {
  const auto n = logits.rows * logits.columns;
  bool good = true;
  for (std::int64_t i = 0; i < n; ++i) good &= std::abs(logits.data[i]) <= std::numeric_limits<Real>::max();
  if (good) return {};
  for (std::int64_t i = 0; i < n; ++i)
    if (!(std::abs(logits.data[i]) <= std::numeric_limits<Real>::max()))
      return fail(error_code::over_limit, "[router] logit of layer " + std::to_string(layer) + ", token "
                                            + std::to_string(i / logits.columns) + ", expert "
                                            + std::to_string(i % logits.columns) + ": got "
                                            + std::to_string(logits.data[i])
                                            + ", limit finite; lower the learning rate or clip gradients");
  return {};
}

template gate_scores<float> softmax_rows(matrix_view<float>);
template gate_scores<double> softmax_rows(matrix_view<double>);
template expected<void> check_finite(matrix_view<float>, std::uint16_t);
template expected<void> check_finite(matrix_view<double>, std::uint16_t);

} // namespace troupe
