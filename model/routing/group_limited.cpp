// Group-limited choice: the masks of DeepSeek-V3 and V2, and V2's softmax router `group_limited_greedy`
// (2024): §2.3.

#include "model/routing/groups.hpp"
#include "model/routing/routers.hpp"
#include "model/routing/selection.hpp"

#include <algorithm>
#include <functional>
#include <limits>

namespace troupe {

template <class Real>
void mask_groups(std::vector<Real>& choice, std::int64_t experts, group_limit limit, std::int64_t largest) {
  const auto rows = static_cast<std::int64_t>(choice.size()) / experts;
  const auto size = experts / limit.groups;
  const auto masked = limit.mask_with_zero ? Real(0) : std::numeric_limits<Real>::lowest();
  std::vector<Real> group_score(static_cast<std::size_t>(rows * limit.groups));
  std::vector<Real> members(static_cast<std::size_t>(size));
  for (std::int64_t g = 0; g < rows * limit.groups; ++g) {
    std::copy_n(choice.begin() + g * size, size, members.begin());
    const auto n = std::min(largest, size);
    std::partial_sort(members.begin(), members.begin() + n, members.end(), std::greater<>());
    for (std::int64_t i = 0; i < n; ++i) group_score[g] += members[i];
  }
  const auto kept = top_k<Real>({group_score.data(), rows, limit.groups}, limit.groups_kept);
  std::vector<std::uint8_t> survives(static_cast<std::size_t>(limit.groups));
  for (std::int64_t t = 0; t < rows; ++t) {
    std::fill(survives.begin(), survives.end(), 0);
    for (std::int64_t j = 0; j < limit.groups_kept; ++j) survives[kept[t * limit.groups_kept + j]] = 1;
    for (std::int64_t e = 0; e < experts; ++e)
      if (!survives[e / size]) choice[t * experts + e] = masked;
  }
}

namespace {

/// Top-k of P in the surviving groups; gates scale·P, not renormalised.
template <class Real>
class group_limited_softmax_router : public router<Real> {
public:
  group_limited_softmax_router(std::int64_t k, double scale, group_limit limit)
    : k_(k), scale_(static_cast<Real>(scale)), limit_(limit) {
    // nop
  }

  router_needs needs() const override { return {.slots = k_}; }

  routing<Real> route(const routing_input<Real>& in) const override {
    const auto& p = in.probabilities;
    std::vector<Real> choice(p.data, p.data + p.rows * p.columns);
    mask_groups<Real>(choice, p.columns, limit_, 1);
    auto out = choose_top_k<Real>({choice.data(), p.rows, p.columns}, k_, p);
    for (auto& g : out.gates) g *= scale_;
    return out;
  }

  void backward(const routing_input<Real>& in, const routing<Real>& forward,
                std::span<const Real> gate_gradient, logit_gradient<Real>& out) const override {
    full_softmax_backward(in.probabilities, forward, gate_gradient, scale_, out.logits);
  }

private:
  std::int64_t k_;
  Real scale_;
  group_limit limit_;
};

} // namespace

template <class Real>
std::unique_ptr<router<Real>> make_group_limited_softmax(std::int64_t k, double scale, group_limit limit) {
  return std::make_unique<group_limited_softmax_router<Real>>(k, scale, limit);
}

template void mask_groups(std::vector<float>&, std::int64_t, group_limit, std::int64_t);
template void mask_groups(std::vector<double>&, std::int64_t, group_limit, std::int64_t);
template std::unique_ptr<router<float>> make_group_limited_softmax(std::int64_t, double, group_limit);
template std::unique_ptr<router<double>> make_group_limited_softmax(std::int64_t, double, group_limit);

} // namespace troupe
