// Sigmoid scores with a selection bias (DeepSeek-V3 2024, Wang 2024) and its group-limited form: §2.2, §2.3.

#include "model/routing/functions.hpp"
#include "model/routing/groups.hpp"
#include "model/routing/routers.hpp"
#include "model/routing/selection.hpp"

namespace troupe {

namespace {

/// Top-k of s + b in the surviving groups; gates scale·s/(Σ_S s + 1e-20), for k = 1 scale·s. The bias
/// chooses, it never weighs.
template <class Real>
class sigmoid_bias_router : public router<Real> {
public:
  sigmoid_bias_router(std::int64_t k, double scale, group_limit limit)
    : k_(k), scale_(static_cast<Real>(scale)), limit_(limit) {
    // nop
  }

  router_needs needs() const override {
    return {
      .slots = k_, .bias = router_needs::bias_rule::balance, .score = router_needs::score_kind::sigmoid};
  }

  routing<Real> route(const routing_input<Real>& in) const override {
    const auto rows = in.logits.rows;
    const auto experts = in.logits.columns;
    std::vector<Real> score(static_cast<std::size_t>(rows * experts));
    std::vector<Real> choice(score.size());
    for (std::int64_t t = 0; t < rows; ++t)
      for (std::int64_t e = 0; e < experts; ++e) {
        score[t * experts + e] = sigmoid(in.logits.data[t * experts + e]);
        choice[t * experts + e] = score[t * experts + e] + in.bias[e];
      }
    if (limit_.groups > 1) mask_groups<Real>(choice, experts, limit_, 2);
    auto out = choose_top_k<Real>({choice.data(), rows, experts}, k_, {score.data(), rows, experts});
    for (std::int64_t t = 0; t < rows; ++t) weigh(out.gates.data() + t * k_);
    return out;
  }

  void backward(const routing_input<Real>& in, const routing<Real>& forward,
                std::span<const Real> gate_gradient, logit_gradient<Real>& out) const override {
    const auto experts = in.logits.columns;
    for (std::int64_t t = 0; t < forward.tokens; ++t) {
      Real sum = k_ > 1 ? Real(1e-20) : Real(1);
      Real inner = 0;
      for (std::int64_t j = t * k_; k_ > 1 && j < (t + 1) * k_; ++j) {
        sum += sigmoid(in.logits.data[t * experts + forward.experts[j]]);
        inner += gate_gradient[j] * forward.gates[j] / scale_;
      }
      for (std::int64_t j = t * k_; j < (t + 1) * k_; ++j) {
        const auto place = t * experts + forward.experts[j];
        const Real s = sigmoid(in.logits.data[place]);
        out.logits[place] += scale_ * s * (1 - s) * (gate_gradient[j] - inner) / sum;
      }
    }
  }

private:
  void weigh(Real* gates) const {
    Real sum = Real(1e-20);
    for (std::int64_t j = 0; j < k_; ++j) sum += gates[j];
    for (std::int64_t j = 0; j < k_; ++j) gates[j] = scale_ * (k_ > 1 ? gates[j] / sum : gates[j]);
  }

  std::int64_t k_;
  Real scale_;
  group_limit limit_;
};

} // namespace

template <class Real>
std::unique_ptr<router<Real>> make_sigmoid_bias(std::int64_t k, double scale) {
  return std::make_unique<sigmoid_bias_router<Real>>(k, scale, group_limit{});
}

template <class Real>
std::unique_ptr<router<Real>> make_group_limited_sigmoid(std::int64_t k, double scale, group_limit limit) {
  return std::make_unique<sigmoid_bias_router<Real>>(k, scale, limit);
}

template std::unique_ptr<router<float>> make_sigmoid_bias(std::int64_t, double);
template std::unique_ptr<router<double>> make_sigmoid_bias(std::int64_t, double);
template std::unique_ptr<router<float>> make_group_limited_sigmoid(std::int64_t, double, group_limit);
template std::unique_ptr<router<double>> make_group_limited_sigmoid(std::int64_t, double, group_limit);

} // namespace troupe
