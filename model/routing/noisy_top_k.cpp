// Noisy top-k gating (Shazeer 2017): §2.4.

#include "model/routing/functions.hpp"
#include "model/routing/noise.hpp"
#include "model/routing/routers.hpp"
#include "model/routing/scores.hpp"
#include "model/routing/selection.hpp"

namespace troupe {

template <class Real>
noisy_logits<Real> add_noise(matrix_view<Real> logits, matrix_view<Real> noise_logits,
                             std::span<const Real> normal, double floor) {
  noisy_logits<Real> out;
  const auto n = logits.rows * logits.columns;
  out.values.resize(static_cast<std::size_t>(n));
  out.sigma.resize(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    out.sigma[i] = softplus(noise_logits.data[i]) + static_cast<Real>(floor);
    out.values[i] = normal.empty() ? logits.data[i] : logits.data[i] + normal[i] * out.sigma[i];
  }
  require_finite<Real>({out.values.data(), logits.rows, logits.columns}, "noisy logit");
  return out;
}

namespace {

/// H = z + ε·σ_n, σ_n = softplus(x·Wnᵀ) + floor; gates softmax of the k largest H.
template <class Real>
class noisy_top_k_router : public router<Real> {
public:
  noisy_top_k_router(std::int64_t k, double floor) : k_(k), floor_(floor) {
    // nop
  }

  router_needs needs() const override {
    return {.slots = k_, .noise_gate = true, .draws = router_needs::draw_kind::normal_logit};
  }

  routing<Real> route(const routing_input<Real>& in) const override {
    auto noisy = add_noise(in.logits, in.noise_logits, in.draws, floor_);
    const matrix_view<Real> h{noisy.values.data(), in.logits.rows, in.logits.columns};
    auto out = choose_top_k(h, k_, h);
    softmax_over_slots(out);
    if (in.details) {
      out.details.push_back({"H", h.rows, h.columns, std::move(noisy.values)});
      out.details.push_back({"sigma", h.rows, h.columns, std::move(noisy.sigma)});
    }
    return out;
  }

  void backward(const routing_input<Real>& in, const routing<Real>& forward,
                std::span<const Real> gate_gradient, logit_gradient<Real>& out) const override {
    const auto experts = in.logits.columns;
    for (std::int64_t t = 0; t < forward.tokens; ++t) {
      Real inner = 0;
      for (std::int64_t j = t * k_; j < (t + 1) * k_; ++j) inner += gate_gradient[j] * forward.gates[j];
      for (std::int64_t j = t * k_; j < (t + 1) * k_; ++j) {
        const auto place = t * experts + forward.experts[j];
        const Real dh = forward.gates[j] * (gate_gradient[j] - inner);
        out.logits[place] += dh;
        if (!in.draws.empty())
          out.noise_logits[place] += dh * in.draws[place] * sigmoid(in.noise_logits.data[place]);
      }
    }
  }

private:
  std::int64_t k_;
  double floor_;
};

} // namespace

template <class Real>
std::unique_ptr<router<Real>> make_noisy_top_k(std::int64_t k, double floor) {
  return std::make_unique<noisy_top_k_router<Real>>(k, floor);
}

template noisy_logits<float> add_noise(matrix_view<float>, matrix_view<float>, std::span<const float>,
                                       double);
template noisy_logits<double> add_noise(matrix_view<double>, matrix_view<double>, std::span<const double>,
                                        double);
template std::unique_ptr<router<float>> make_noisy_top_k(std::int64_t, double);
template std::unique_ptr<router<double>> make_noisy_top_k(std::int64_t, double);

} // namespace troupe
