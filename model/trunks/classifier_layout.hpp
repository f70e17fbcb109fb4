#pragma once

#include "messages/tensor.hpp"
#include "model/routing/router.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// Where the dense parameters of the classifier lie in their flat tensor, in numbers. Every tensor begins
/// 64-byte aligned. What the optimizer steps comes first; then the mean of the inputs, a constant, and the
/// selection bias, a buffer with its own rule, last.
struct classifier_layout {
  struct entry {
    std::string name;
    shape dims;
    std::int64_t offset = 0;
    std::int64_t fan_in = 1; ///< drawn uniform in ±1/√fan_in; 0: begins at 0
  };

  struct sizes {
    std::int64_t experts = 0;
    std::int64_t width = 0;
    std::int64_t input_rows = 0; ///< > 0: the inputs are parameters
    bool shared_gate = false;
    bool input_mean = false; ///< the router sees rows less their mean
  };

  static constexpr std::int64_t absent = -1;

  classifier_layout(const router_needs& needs, sizes s, dtype type);

  std::vector<entry> entries;         ///< canonical order
  std::int64_t weight = absent;       ///< router.weight [E, width]
  std::int64_t noise_weight = absent; ///< router.noise_weight [E, width]
  std::int64_t shared_gate = absent;  ///< shared.gate [width]
  std::int64_t inputs = absent;       ///< inputs [rows, width]
  std::int64_t input_mean = absent;   ///< router.input_mean [width], which nothing changes
  std::int64_t bias = absent;         ///< router.bias [E]
  std::int64_t stepped = 0;           ///< numbers that the optimizer steps, padding included
  std::int64_t size = 0;              ///< numbers in all, at least one vector

private:
  std::int64_t add(const std::string& name, shape dims, std::int64_t fan_in, std::int64_t lanes);
};

} // namespace troupe
