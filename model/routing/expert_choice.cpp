// Expert choice (Zhou 2022): §2.8. Looks across the tokens of a microbatch, so not for causal language
// models.

#include "model/routing/routers.hpp"
#include "model/routing/selection.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace troupe {

namespace {

/// Each expert takes its c = ⌈T·cf/E⌉ ≤ T best tokens by P; gates P. A token's experts are listed in
/// ascending order.
template <class Real>
class expert_choice_router : public router<Real> {
public:
  explicit expert_choice_router(double capacity_factor) : capacity_factor_(capacity_factor) {
    // nop
  }

  router_needs needs() const override { return {.slots = 1}; }

  routing<Real> route(const routing_input<Real>& in) const override {
    const auto& p = in.probabilities;
    const auto wanted = std::ceil(static_cast<double>(p.rows) * capacity_factor_
                                  / static_cast<double>(p.columns));
    const auto c = static_cast<std::int64_t>(std::min(wanted, static_cast<double>(p.rows)));
    std::vector<std::int64_t> order(static_cast<std::size_t>(p.rows));
    std::vector<std::vector<std::int32_t>> taken(order.size());
    routing_detail<Real> tokens{"tokens", p.columns, c, {}};
    for (std::int64_t e = 0; e < p.columns; ++e) {
      std::iota(order.begin(), order.end(), 0);
      std::partial_sort(order.begin(), order.begin() + c, order.end(), [&](std::int64_t a, std::int64_t b) {
        const Real pa = p.data[a * p.columns + e];
        const Real pb = p.data[b * p.columns + e];
        return pa != pb ? pa > pb : a < b;
      });
      for (std::int64_t i = 0; i < c; ++i) {
        taken[order[i]].push_back(static_cast<std::int32_t>(e));
        if (in.details) tokens.values.push_back(static_cast<Real>(order[i]));
      }
    }
    auto out = by_token(taken, p);
    out.counts.assign(static_cast<std::size_t>(p.columns), static_cast<std::uint64_t>(c));
    if (in.details) out.details.push_back(std::move(tokens));
    return out;
  }

  void backward(const routing_input<Real>& in, const routing<Real>& forward,
                std::span<const Real> gate_gradient, logit_gradient<Real>& out) const override {
    full_softmax_backward(in.probabilities, forward, gate_gradient, Real(1), out.logits);
  }

private:
  static routing<Real> by_token(const std::vector<std::vector<std::int32_t>>& taken, matrix_view<Real> p) {
    routing<Real> out;
    out.tokens = p.rows;
    for (const auto& experts : taken)
      out.slots = std::max(out.slots, static_cast<std::int64_t>(experts.size()));
    out.experts.assign(static_cast<std::size_t>(out.tokens * out.slots), -1);
    out.gates.assign(out.experts.size(), Real(0));
    for (std::int64_t t = 0; t < out.tokens; ++t)
      for (std::size_t j = 0; j < taken[t].size(); ++j) {
        out.experts[t * out.slots + j] = taken[t][j];
        out.gates[t * out.slots + j] = p.data[t * p.columns + taken[t][j]];
      }
    return out;
  }

  double capacity_factor_;
};

} // namespace

template <class Real>
std::unique_ptr<router<Real>> make_expert_choice(double capacity_factor) {
  return std::make_unique<expert_choice_router<Real>>(capacity_factor);
}

template std::unique_ptr<router<float>> make_expert_choice(double);
template std::unique_ptr<router<double>> make_expert_choice(double);

} // namespace troupe
