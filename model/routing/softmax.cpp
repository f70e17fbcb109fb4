// Softmax top-k (Mixtral 2024, OLMoE 2024), Switch top-1 (Fedus 2021) and dense mixtures: §2.1, §2.5.

#include "model/routing/routers.hpp"
#include "model/routing/selection.hpp"

namespace troupe {

namespace {

/// Top-k of P; gates P, or P/Σ_S P.
template <class Real>
class softmax_router : public router<Real> {
public:
  softmax_router(std::int64_t k, bool renormalised) : k_(k), renormalised_(renormalised) {
    // nop
  }

  router_needs needs() const override { return {.slots = k_, .plain_top_k = true}; }

  routing<Real> route(const routing_input<Real>& in) const override {
    auto out = choose_top_k(in.probabilities, k_, in.probabilities);
    if (renormalised_) renormalise(out);
    return out;
  }

  void backward(const routing_input<Real>& in, const routing<Real>& forward,
                std::span<const Real> gate_gradient, logit_gradient<Real>& out) const override {
    if (renormalised_)
      chosen_softmax_backward(forward, in.logits.columns, gate_gradient, out.logits);
    else
      full_softmax_backward(in.probabilities, forward, gate_gradient, Real(1), out.logits);
  }

private:
  std::int64_t k_;
  bool renormalised_;
};

/// Top-k of z; gates softmax over the k kept logits.
template <class Real>
class softmax_post_router : public softmax_router<Real> {
public:
  explicit softmax_post_router(std::int64_t k) : softmax_router<Real>(k, true), k_(k) {
    // nop
  }

  routing<Real> route(const routing_input<Real>& in) const override {
    auto out = choose_top_k(in.logits, k_, in.logits);
    softmax_over_slots(out);
    return out;
  }

private:
  std::int64_t k_;
};

} // namespace

template <class Real>
std::unique_ptr<router<Real>> make_softmax(std::int64_t k, bool renormalise) {
  return std::make_unique<softmax_router<Real>>(k, renormalise);
}

template <class Real>
std::unique_ptr<router<Real>> make_softmax_post(std::int64_t k) {
  return std::make_unique<softmax_post_router<Real>>(k);
}

template std::unique_ptr<router<float>> make_softmax(std::int64_t, bool);
template std::unique_ptr<router<double>> make_softmax(std::int64_t, bool);
template std::unique_ptr<router<float>> make_softmax_post(std::int64_t);
template std::unique_ptr<router<double>> make_softmax_post(std::int64_t);

} // namespace troupe
