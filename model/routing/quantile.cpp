// Quantile balancing (Megatron-Core): §2.10.

#include "model/routing/routers.hpp"
#include "model/routing/scores.hpp"
#include "model/routing/selection.hpp"

#include <algorithm>
#include <functional>

namespace troupe {

namespace {

/// Top-k of z − β; gates P. Detail "beta" [1, E], in training: the threshold that these tokens ask for, β_e =
/// the (T·k/E + 1)-th largest over t of z_te − α_t, where α_t is the (k+1)-th largest of z_t − β.
template <class Real>
class quantile_router : public router<Real> {
public:
  explicit quantile_router(std::int64_t k) : k_(k) {
    // nop
  }

  router_needs needs() const override { return {.slots = k_, .bias = router_needs::bias_rule::quantile}; }

  routing<Real> route(const routing_input<Real>& in) const override {
    const auto rows = in.logits.rows;
    const auto experts = in.logits.columns;
    std::vector<Real> shifted(static_cast<std::size_t>(rows * experts));
    for (std::int64_t i = 0; i < rows * experts; ++i) shifted[i] = in.logits.data[i] - in.bias[i % experts];
    const matrix_view<Real> view{shifted.data(), rows, experts};
    if (!in.training && !in.details) return choose_top_k(view, k_, in.probabilities);
    const auto ranked = top_k(view, k_ + 1); // the choices, and the one that each token would have taken next
    std::vector<std::int32_t> chosen;
    for (std::int64_t i = 0; i < rows * (k_ + 1); ++i)
      if (i % (k_ + 1) < k_) chosen.push_back(ranked[i]);
    auto out = with_gates(std::move(chosen), k_, in.probabilities);
    out.details.push_back({"beta", 1, experts, thresholds(in.logits, view, ranked)});
    return out;
  }

  void backward(const routing_input<Real>& in, const routing<Real>& forward,
                std::span<const Real> gate_gradient, logit_gradient<Real>& out) const override {
    full_softmax_backward(in.probabilities, forward, gate_gradient, Real(1), out.logits);
  }

private:
  std::vector<Real> thresholds(matrix_view<Real> z, matrix_view<Real> shifted,
                               const std::vector<std::int32_t>& ranked) const {
    std::vector<Real> out;
    std::vector<Real> column(static_cast<std::size_t>(z.rows));
    const auto place = column.begin() + z.rows * k_ / z.columns;
    for (std::int64_t e = 0; e < z.columns; ++e) {
      for (std::int64_t t = 0; t < z.rows; ++t) {
        const auto boundary = ranked[t * (k_ + 1) + k_];
        column[t] = z.data[t * z.columns + e] - shifted.data[t * z.columns + boundary];
      }
      std::nth_element(column.begin(), place, column.end(), std::greater<>());
      out.push_back(*place);
    }
    require_finite<Real>({out.data(), 1, z.columns}, "threshold");
    return out;
  }

  std::int64_t k_;
};

} // namespace

template <class Real>
std::unique_ptr<router<Real>> make_quantile(std::int64_t k) {
  return std::make_unique<quantile_router<Real>>(k);
}

template std::unique_ptr<router<float>> make_quantile(std::int64_t);
template std::unique_ptr<router<double>> make_quantile(std::int64_t);

} // namespace troupe
