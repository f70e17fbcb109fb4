// A router of your own: softmax top-k that prefers experts with an even number, by a bonus on their logits
// for the choice alone. Train with it:
//
//     build/release/bin/troupe train --node-program build/release/bin/example-custom-router --router
//     even-first

#include "launcher/node/node_main.hpp"
#include "model/routing/selection.hpp"

template <class Real>
class even_first : public troupe::router<Real> {
public:
  explicit even_first(std::int64_t k) : k_(k) {
    // nop
  }

  troupe::router_needs needs() const override { return {.slots = k_}; }

  troupe::routing<Real> route(const troupe::routing_input<Real>& in) const override {
    std::vector<Real> choice(in.logits.data, in.logits.data + in.logits.rows * in.logits.columns);
    for (std::size_t i = 0; i < choice.size(); ++i)
      if (static_cast<std::int64_t>(i) % in.logits.columns % 2 == 0) choice[i] += Real(0.5);
    auto out = troupe::choose_top_k({choice.data(), in.logits.rows, in.logits.columns}, k_, in.logits);
    troupe::softmax_over_slots(out);
    return out;
  }

  void backward(const troupe::routing_input<Real>& in, const troupe::routing<Real>& forward,
                std::span<const Real> gate_gradient, troupe::logit_gradient<Real>& out) const override {
    troupe::chosen_softmax_backward(forward, in.logits.columns, gate_gradient, out.logits);
  }

private:
  std::int64_t k_;
};

template <class Real>
troupe::expected<std::unique_ptr<troupe::router<Real>>> make(const troupe::router_options& options,
                                                             std::uint32_t) {
  return std::make_unique<even_first<Real>>(options.experts_per_token);
}

int main(int argc, char** argv) {
  troupe::extensions mine;
  mine.routers["even-first"] = {make<float>, make<double>};
  return troupe::node_main(argc, argv, mine);
}
