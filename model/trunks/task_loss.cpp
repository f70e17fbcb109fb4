#include "model/trunks/task_loss.hpp"

#include "model/routing/scores.hpp"
#include "model/routing/selection.hpp"

namespace troupe {

template <class Real>
task_result<Real> cross_entropy(matrix_view<Real> y, std::span<const std::int64_t> labels, double scale) {
  task_result<Real> out;
  auto scores = softmax_rows(y);
  const auto best = largest(y);
  const auto t = static_cast<double>(y.rows);
  for (std::int64_t i = 0; i < y.rows; ++i) {
    out.loss += static_cast<double>(scores.log_partition[i] - y.data[i * y.columns + labels[i]]);
    out.correct += best[i] == labels[i];
  }
  out.loss /= t;
  if (scale == 0) return out;
  out.gradient = std::move(scores.probabilities);
  for (std::int64_t i = 0; i < y.rows; ++i) out.gradient[i * y.columns + labels[i]] -= 1;
  const auto factor = static_cast<Real>(scale / t);
  for (auto& g : out.gradient) g *= factor;
  return out;
}

template <class Real>
task_result<Real> mean_square(matrix_view<Real> y, double scale) {
  task_result<Real> out;
  const auto count = static_cast<double>(y.rows * y.columns);
  for (std::int64_t i = 0; i < y.rows * y.columns; ++i)
    out.loss += static_cast<double>(y.data[i]) * static_cast<double>(y.data[i]);
  out.loss /= count;
  if (scale == 0) return out;
  const auto factor = static_cast<Real>(scale * 2 / count);
  out.gradient.resize(static_cast<std::size_t>(y.rows * y.columns));
  for (std::size_t i = 0; i < out.gradient.size(); ++i) out.gradient[i] = y.data[i] * factor;
  return out;
}

template task_result<float> cross_entropy(matrix_view<float>, std::span<const std::int64_t>, double);
template task_result<double> cross_entropy(matrix_view<double>, std::span<const std::int64_t>, double);
template task_result<float> mean_square(matrix_view<float>, double);
template task_result<double> mean_square(matrix_view<double>, double);

} // namespace troupe
