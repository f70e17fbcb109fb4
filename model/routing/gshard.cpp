// Top-2 with a second expert that is kept at random (GShard 2020; ST-MoE 2022; DeepSpeed): §2.6.

#include "model/routing/routers.hpp"
#include "model/routing/selection.hpp"

#include <cmath>
#include <limits>

namespace troupe {

namespace {

/// Gates P/(P₁+P₂). A second expert not kept leaves the first gate as it is and stays in the counts.
template <class Real>
class gshard_router : public router<Real> {
public:
  gshard_router(second_expert second, double threshold)
    : second_(second), threshold_(static_cast<Real>(threshold)) {
    // nop
  }

  router_needs needs() const override {
    using draw = router_needs::draw_kind;
    return {.slots = 2,
            .plain_top_k = second_ != second_expert::gumbel,
            .draws = second_ == second_expert::all      ? draw::none
                     : second_ == second_expert::gumbel ? draw::uniform_logit
                                                        : draw::uniform_token};
  }

  routing<Real> route(const routing_input<Real>& in) const override {
    const auto second = in.draws.empty() ? second_expert::all : second_;
    auto out = second == second_expert::gumbel ? sampled(in)
                                               : choose_top_k(in.probabilities, 2, in.probabilities);
    renormalise(out);
    if (second == second_expert::all || second == second_expert::gumbel) return out;
    out.used.assign(out.experts.size(), 1);
    for (std::int64_t t = 0; t < out.tokens; ++t) {
      const Real g = out.gates[2 * t + 1];
      const Real u = in.draws[t];
      out.used[2 * t + 1] = second == second_expert::random ? 2 * g > u : g > u * threshold_;
    }
    return out;
  }

  void backward(const routing_input<Real>& in, const routing<Real>& forward,
                std::span<const Real> gate_gradient, logit_gradient<Real>& out) const override {
    chosen_softmax_backward(forward, in.logits.columns, gate_gradient, out.logits);
  }

private:
  /// First expert: argmax z. Second: argmax over the others of z − ln(−ln u).
  static routing<Real> sampled(const routing_input<Real>& in) {
    const auto rows = in.logits.rows;
    const auto experts = in.logits.columns;
    const auto first = top_k(in.logits, 1);
    std::vector<Real> noisy(static_cast<std::size_t>(rows * experts));
    for (std::int64_t i = 0; i < rows * experts; ++i)
      noisy[i] = in.logits.data[i] - std::log(-std::log(in.draws[i]));
    for (std::int64_t t = 0; t < rows; ++t)
      noisy[t * experts + first[t]] = -std::numeric_limits<Real>::infinity();
    const auto second = top_k<Real>({noisy.data(), rows, experts}, 1);
    routing<Real> out;
    out.tokens = rows;
    out.slots = 2;
    for (std::int64_t t = 0; t < rows; ++t)
      for (const auto e : {first[t], second[t]}) {
        out.experts.push_back(e);
        out.gates.push_back(in.probabilities.data[t * experts + e]);
      }
    out.counts = count_choices(out.experts, experts);
    return out;
  }

  second_expert second_;
  Real threshold_;
};

} // namespace

template <class Real>
std::unique_ptr<router<Real>> make_gshard(second_expert second, double threshold) {
  return std::make_unique<gshard_router<Real>>(second, threshold);
}

template std::unique_ptr<router<float>> make_gshard(second_expert, double);
template std::unique_ptr<router<double>> make_gshard(second_expert, double);

} // namespace troupe
