#include "model/trunks/input_mean.hpp"

#include <array>
#include <numeric>
#include <vector>

namespace troupe {

namespace {

/// Eight partial sums by index mod 8, added up in order.
template <class Real>
Real product(std::span<const Real> a, const Real* b) {
  std::array<double, 8> partial{};
  for (std::size_t i = 0; i < a.size(); ++i)
    partial[i % partial.size()] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return static_cast<Real>(std::accumulate(partial.begin(), partial.end(), 0.0));
}

} // namespace

template <class Real>
void take_mean_off_logits(std::span<const Real> mean, const Real* w, std::int64_t experts,
                          std::span<Real> logits) {
  std::vector<Real> of_mean;
  for (std::int64_t e = 0; e < experts; ++e, w += mean.size()) of_mean.push_back(product(mean, w));
  for (std::size_t row = 0; row < logits.size(); row += of_mean.size())
    for (std::size_t e = 0; e < of_mean.size(); ++e) logits[row + e] -= of_mean[e];
}

template <class Real>
void take_mean_off_gradient(std::span<const Real> mean, std::span<const Real> g, std::int64_t experts,
                            Real* to) {
  std::vector<double> sums(static_cast<std::size_t>(experts));
  for (std::size_t row = 0; row < g.size(); row += sums.size())
    for (std::size_t e = 0; e < sums.size(); ++e) sums[e] += static_cast<double>(g[row + e]);
  for (const auto sum : sums)
    for (const auto m : mean) *to++ -= static_cast<Real>(sum) * m;
}

template void take_mean_off_logits(std::span<const float>, const float*, std::int64_t, std::span<float>);
template void take_mean_off_logits(std::span<const double>, const double*, std::int64_t, std::span<double>);
template void take_mean_off_gradient(std::span<const float>, std::span<const float>, std::int64_t, float*);
template void take_mean_off_gradient(std::span<const double>, std::span<const double>, std::int64_t, double*);

} // namespace troupe
