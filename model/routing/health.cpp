#include "model/routing/health.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

load_health health_of(std::span<const std::uint64_t> counts) {
  load_health out;
  double sum = 0;
  for (const auto n : counts) {
    sum += static_cast<double>(n);
    out.dead_experts += n == 0;
  }
  if (counts.empty() || sum == 0) return out;
  const double mean = sum / static_cast<double>(counts.size());
  const auto [low, high] = std::minmax_element(counts.begin(), counts.end());
  out.load_max_over_mean = static_cast<double>(*high) / mean;
  out.load_min_over_mean = static_cast<double>(*low) / mean;
  out.balancedness = 1 / out.load_max_over_mean;
  double square = 0;
  for (const auto n : counts) {
    const double distance = static_cast<double>(n) - mean;
    square += distance * distance;
    const double share = static_cast<double>(n) / sum;
    out.load_entropy_nats -= n == 0 ? 0.0 : share * std::log(share);
  }
  out.load_cv_population = std::sqrt(square / static_cast<double>(counts.size())) / mean;
  return out;
}

template <class Real>
double router_entropy(matrix_view<Real> logits, matrix_view<Real> probabilities,
                      std::span<const Real> log_partition) {
  constexpr std::int64_t at_once = 8; // rows, whose sums do not wait for each other
  double sum = 0;
  for (std::int64_t first = 0; first < logits.rows; first += at_once) {
    const auto n = std::min(at_once, logits.rows - first);
    Real inner[at_once] = {};
    for (std::int64_t e = 0; e < logits.columns; ++e)
      for (std::int64_t t = 0; t < n; ++t) {
        const auto at = (first + t) * logits.columns + e;
        const auto p = probabilities.data[at];
        const auto term = p * (logits.data[at] - log_partition[first + t]);
        inner[t] += p > 0 ? term : 0; // beyond it the difference may be infinite
      }
    for (std::int64_t t = 0; t < n; ++t) sum -= static_cast<double>(inner[t]);
  }
  return logits.rows == 0 ? 0.0 : sum / static_cast<double>(logits.rows);
}

template double router_entropy(matrix_view<float>, matrix_view<float>, std::span<const float>);
template double router_entropy(matrix_view<double>, matrix_view<double>, std::span<const double>);

} // namespace troupe
