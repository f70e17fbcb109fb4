// A router of your own: softmax top-k that prefers experts with an even number, by a bonus on their logits
// for the choice alone. Train with it:
//
//     build/release/bin/troupe train --node-program build/release/bin/example-custom-router --router
//     even-first

#include "launcher/node/node_main.hpp"
#include "model/routing/selection.hpp"

using namespace troupe;

template <class Real>
class even_first : public router<Real> {
public:
  explicit even_first(const router_options& options) : k_(options.experts_per_token) {
    // nop
  }

  router_needs needs() const override { return {.slots = k_}; }

  routing<Real> route(const routing_input<Real>& in) const override {
    const auto [z, tokens, experts] = in.logits;
    std::vector<Real> choice(z, z + tokens * experts);
    for (std::int64_t i = 0; i < tokens * experts; ++i)
      if (i % experts % 2 == 0) choice[i] += Real(0.5);
    auto out = choose_top_k({choice.data(), tokens, experts}, k_, in.logits);
    softmax_over_slots(out);
    return out;
  }

  void backward(const routing_input<Real>& in, const routing<Real>& forward,
                std::span<const Real> gate_gradient, logit_gradient<Real>& out) const override {
    chosen_softmax_backward(forward, in.logits.columns, gate_gradient, out.logits);
  }

private:
  std::int64_t k_;
};

int main(int argc, char** argv) {
  extensions mine;
  mine.routers["even-first"] = make_router_extension<even_first>();
  return node_main(argc, argv, mine);
}
