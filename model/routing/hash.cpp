// Fixed assignments without parameters: by the hash of the token id (Roller 2021), §2.9, or by the sample's
// label.

#include "model/routing/routers.hpp"
#include "model/routing/selection.hpp"

namespace troupe {

namespace {

constexpr std::uint64_t splitmix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

static_assert(splitmix64(0) == 0xE220A8397B1DCDAFu);

/// One expert per token, a function of its id; gate 1, no gradient.
template <class Real, class Rule>
class fixed_router : public router<Real> {
public:
  fixed_router(router_needs::id_kind ids, Rule rule) : ids_(ids), rule_(rule) {
    // nop
  }

  router_needs needs() const override { return {.slots = 1, .gate = false, .ids = ids_}; }

  routing<Real> route(const routing_input<Real>& in) const override {
    routing<Real> out;
    out.tokens = in.logits.rows;
    out.slots = 1;
    for (const auto id : in.ids)
      out.experts.push_back(static_cast<std::int32_t>(rule_(static_cast<std::uint64_t>(id))
                                                      % static_cast<std::uint64_t>(in.logits.columns)));
    out.gates.assign(out.experts.size(), Real(1));
    out.counts = count_choices(out.experts, in.logits.columns);
    return out;
  }

  void backward(const routing_input<Real>&, const routing<Real>&, std::span<const Real>,
                logit_gradient<Real>&) const override {
    // nop
  }

private:
  router_needs::id_kind ids_;
  Rule rule_;
};

template <class Real, class Rule>
std::unique_ptr<router<Real>> make_fixed(router_needs::id_kind ids, Rule rule) {
  return std::make_unique<fixed_router<Real, Rule>>(ids, rule);
}

} // namespace

template <class Real>
std::unique_ptr<router<Real>> make_hash(std::uint64_t seed) {
  return make_fixed<Real>(router_needs::id_kind::token,
                          [seed](std::uint64_t id) { return splitmix64(id ^ seed); });
}

template <class Real>
std::unique_ptr<router<Real>> make_task() {
  return make_fixed<Real>(router_needs::id_kind::label, [](std::uint64_t label) { return label; });
}

template std::unique_ptr<router<float>> make_hash(std::uint64_t);
template std::unique_ptr<router<double>> make_hash(std::uint64_t);
template std::unique_ptr<router<float>> make_task();
template std::unique_ptr<router<double>> make_task();

} // namespace troupe
