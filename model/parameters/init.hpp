#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace troupe {

/// Fills a parameter with uniform numbers in ±1/√fan_in (the usual rule for linear layers and their biases),
/// keyed by (seed, layer, expert, name): no parameter's start depends on which others exist. Drawn in fp64
/// and rounded, so that f32 and f64 models start from the same numbers.
template <class Real>
void init_uniform(std::span<Real> values, std::int64_t fan_in, std::uint64_t seed, std::uint16_t layer,
                  std::uint16_t expert, std::string_view name);

} // namespace troupe
