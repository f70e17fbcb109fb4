#include "model/trunks/classifier_layout.hpp"

#include "messages/blob.hpp"

#include <algorithm>

namespace troupe {

classifier_layout::classifier_layout(const router_needs& needs, sizes s, dtype type) {
  const auto lanes = static_cast<std::int64_t>(blob::alignment / size_of(type));
  // With noise the first choices are random: weights of 0 start even (Shazeer 2017).
  const auto fan_in = needs.noise_gate ? 0 : s.width;
  if (needs.gate) weight = add("router.weight", {s.experts, s.width}, fan_in, lanes);
  if (needs.noise_gate) noise_weight = add("router.noise_weight", {s.experts, s.width}, fan_in, lanes);
  if (s.shared_gate) shared_gate = add("shared.gate", {s.width}, s.width, lanes);
  if (s.input_rows > 0) inputs = add("inputs", {s.input_rows, s.width}, 1, lanes);
  stepped = size;
  if (s.input_mean && (needs.gate || needs.noise_gate))
    input_mean = add("router.input_mean", {s.width}, 0, lanes);
  if (needs.bias != router_needs::bias_rule::none) bias = add("router.bias", {s.experts}, 0, lanes);
  size = std::max(size, lanes);
}

std::int64_t classifier_layout::add(const std::string& name, shape dims, std::int64_t fan_in,
                                    std::int64_t lanes) {
  const auto offset = size;
  entries.push_back({name, dims, offset, fan_in});
  size += (dims.elements() + lanes - 1) / lanes * lanes;
  return offset;
}

} // namespace troupe
