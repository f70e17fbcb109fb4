#include "model/routing/bias_update.hpp"

#include <vector>

namespace troupe {

template <class Real>
void update_bias(std::span<Real> bias, std::span<const double> counts, double rate, bool recentre) {
  const auto experts = static_cast<double>(bias.size());
  double sum = 0;
  for (const auto n : counts) sum += n;
  const double mean = sum / experts;
  std::vector<double> change;
  double change_mean = 0;
  for (const auto n : counts) {
    change.push_back(n < mean ? rate : n > mean ? -rate : 0.0);
    change_mean += change.back() / experts;
  }
  for (std::size_t e = 0; e < bias.size(); ++e)
    bias[e] = static_cast<Real>(bias[e] + (change[e] - (recentre ? change_mean : 0.0)));
}

template void update_bias(std::span<float>, std::span<const double>, double, bool);
template void update_bias(std::span<double>, std::span<const double>, double, bool);

} // namespace troupe
