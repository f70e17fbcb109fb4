#include "model/surgery/prune.hpp"

#include <algorithm>
#include <numeric>
#include <string>

namespace troupe {

std::vector<double> score_by_use(std::span<const std::int32_t> experts, std::int64_t expert_count) {
  return score_by_gate_mass(experts, std::vector<double>(experts.size(), 1.0), expert_count);
}

std::vector<double> score_by_gate_mass(std::span<const std::int32_t> experts, std::span<const double> gates,
                                       std::int64_t expert_count) {
  std::vector<double> out(static_cast<std::size_t>(expert_count));
  for (std::size_t i = 0; i < experts.size(); ++i)
    if (experts[i] >= 0) out[experts[i]] += gates[i];
  return out;
}

std::vector<double> score_by_reap(std::span<const std::int32_t> experts, std::span<const double> gates,
                                  std::span<const double> norms, std::int64_t expert_count) {
  std::vector<double> weighted(gates.begin(), gates.end());
  for (std::size_t i = 0; i < weighted.size(); ++i) weighted[i] *= norms[i];
  auto out = score_by_gate_mass(experts, weighted, expert_count);
  const auto tokens = score_by_use(experts, expert_count);
  for (std::size_t e = 0; e < out.size(); ++e) out[e] = tokens[e] == 0 ? 0.0 : out[e] / tokens[e];
  return out;
}

expected<pruning> prune(std::span<const double> score, std::int64_t remove) {
  const auto experts = static_cast<std::int64_t>(score.size());
  if (remove < 0 || remove >= experts)
    return fail(error_code::usage, "[prune] experts to remove: got " + std::to_string(remove)
                                     + ", limit 0 to " + std::to_string(experts - 1));
  std::vector<std::int64_t> order(score.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return score[a] < score[b]; });
  pruning out{{order.begin(), order.begin() + remove}, {order.begin() + remove, order.end()}};
  std::sort(out.survivors.begin(), out.survivors.end());
  return out;
}

} // namespace troupe
