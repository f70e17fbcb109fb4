#include "model/parameters/init.hpp"

#include "model/random.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

namespace troupe {

template <class Real>
void init_uniform(std::span<Real> values, std::int64_t fan_in, std::uint64_t seed, std::uint16_t layer,
                  std::uint16_t expert, std::string_view name) {
  const philox_stream random(seed, "init " + std::string(name), layer, 0, 0, expert);
  const auto bound = 1 / std::sqrt(static_cast<double>(fan_in));
  std::array<double, 256> drawn;
  for (std::size_t first = 0; first < values.size(); first += drawn.size()) {
    const auto part = std::span(drawn).first(std::min(drawn.size(), values.size() - first));
    random.fill_uniform(part, first);
    std::ranges::transform(part, values.subspan(first).begin(),
                           [bound](double u) { return static_cast<Real>(bound * (2 * u - 1)); });
  }
}

template void init_uniform(std::span<float>, std::int64_t, std::uint64_t, std::uint16_t, std::uint16_t,
                           std::string_view);
template void init_uniform(std::span<double>, std::int64_t, std::uint64_t, std::uint16_t, std::uint16_t,
                           std::string_view);

} // namespace troupe
