#include "model/routing/scores.hpp"

#include "model/routing/lanes.hpp"
#include "model/run_failure.hpp"

#include <algorithm>
#include <cmath>
#include <string>

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
    store_lanes(block.data(), logits.columns, n, out.probabilities.data() + first * logits.columns);
    for (std::int64_t l = 0; l < n; ++l) out.log_partition[first + l] = maximum[l] + std::log(sum[l]);
  }
  return out;
}

namespace {

/// The first value that is not finite, or -1.
template <class Real>
std::int64_t first_not_finite(matrix_view<Real> values) {
  const auto n = values.rows * values.columns;
  Real nothing[lanes] = {}; // 0 times what is finite is 0, of anything else NaN
  const auto whole = n / lanes * lanes;
  for (std::int64_t i = 0; i < whole; i += lanes)
    for (int l = 0; l < lanes; ++l) nothing[l] += values.data[i + l] * 0;
  for (std::int64_t i = whole; i < n; ++i) nothing[0] += values.data[i] * 0;
  if (std::ranges::all_of(nothing, [](Real x) { return x == 0; })) return -1;
  for (std::int64_t i = 0; i < n; ++i)
    if (!std::isfinite(values.data[i])) return i;
  return -1;
}

template <class Real>
error not_finite_at(std::int64_t i, matrix_view<Real> values, const std::string& what) {
  const auto place = [](const char* name, bool told, std::int64_t index) {
    return told ? std::string(", ") + name + " " + std::to_string(index) : std::string();
  };
  return not_finite("[router] " + what + place("token", values.rows > 1, i / values.columns)
                      + place("expert", values.columns > 1, i % values.columns),
                    static_cast<double>(values.data[i]));
}

} // namespace

template <class Real>
expected<void> check_finite(matrix_view<Real> logits, std::uint16_t layer) {
  const auto i = first_not_finite(logits);
  if (i < 0) return {};
  return tl::unexpected(not_finite_at(i, logits, "logit of layer " + std::to_string(layer)));
}

template <class Real>
void require_finite(matrix_view<Real> values, const char* what) {
  if (const auto i = first_not_finite(values); i >= 0) throw run_failure(not_finite_at(i, values, what));
}

template gate_scores<float> softmax_rows(matrix_view<float>);
template gate_scores<double> softmax_rows(matrix_view<double>);
template expected<void> check_finite(matrix_view<float>, std::uint16_t);
template expected<void> check_finite(matrix_view<double>, std::uint16_t);
template void require_finite(matrix_view<float>, const char*);
template void require_finite(matrix_view<double>, const char*);

} // namespace troupe
