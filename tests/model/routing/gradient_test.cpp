#include "tests/model/routing/routing_fixture.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <functional>

using namespace troupe;
using namespace troupe::testing;

namespace {

constexpr double step = 1e-5;

/// Central differences of f over x against `gradient`; places where `choice` changes within the step are left
/// out.
void check_gradient(std::vector<double>& x, const std::vector<double>& gradient,
                    const std::function<double()>& f,
                    const std::function<std::vector<std::int32_t>()>& choice) {
  const auto chosen = choice();
  std::size_t compared = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto kept = x[i];
    x[i] = kept + step;
    const auto up = f();
    const auto stable = choice() == chosen;
    x[i] = kept - step;
    const auto down = f();
    const auto usable = stable && choice() == chosen;
    x[i] = kept;
    if (!usable) continue;
    ++compared;
    const auto numeric = (up - down) / (2 * step);
    INFO("place " << i << ": got " << gradient[i] << ", central difference " << numeric);
    CHECK(std::abs(numeric - gradient[i]) <= 1e-8 + 1e-6 * std::abs(numeric));
  }
  CHECK(compared > x.size() / 2);
}

const std::vector<std::string> loss_names = {"switch",     "first_choice", "hf",      "sequence",
                                             "z",          "variance",     "nanomoe", "tutel_load_importance",
                                             "importance", "load"};

loss_formula formula_of(const std::string& name, const router_needs& needs, std::int64_t tokens) {
  loss_formula f{.name = name, .k = needs.slots, .score = needs.score};
  if (name == "sequence") f.sequence_length = 4; // and a shorter one at the end
  if (name == "switch") f.rows = {tokens / 3, tokens - tokens / 3};
  return f;
}

/// Experts in use, and the choices that the losses make by themselves.
std::vector<std::int32_t> choices(router_case<double>& c) {
  const auto r = c.rule->route(c.seen());
  std::vector<std::int32_t> out(r.experts);
  for (std::size_t i = 0; i < out.size(); ++i)
    if (!r.in_use(static_cast<std::int64_t>(i))) out[i] = -1 - out[i];
  return out;
}

} // namespace

TEST_CASE("every router's gradient with every loss is the central difference", "[unit]") {
  for (const auto& o : every_router()) {
    router_case<double> c(o, 9, 6);
    if (!c.needs.gate) continue;
    std::vector<double> weight(static_cast<std::size_t>(c.T * c.E));
    philox_stream(5, "weight").fill_normal<double>(weight);
    for (std::size_t n = 0; n <= loss_names.size(); ++n) {
      const bool alone = n == loss_names.size();
      if (!alone && loss_names[n] == "load" && c.needs.slots == c.E) continue;
      INFO(described(o) << " with " << (alone ? "no loss" : loss_names[n]));
      std::unique_ptr<router_loss<double>> loss;
      if (!alone) loss = make_loss<double>(formula_of(loss_names[n], c.needs, c.T), c.E).value();
      const auto cotangent = [&](const routing<double>& r, std::int64_t slot) {
        return r.in_use(slot) ? weight[slot / r.slots * c.E + r.experts[slot]] : 0.0;
      };
      const auto value = [&] {
        const auto r = c.rule->route(c.seen());
        double sum = alone ? 0.0 : 3 * loss->evaluate(c.seen_by_losses(), 0, nullptr);
        for (std::size_t i = 0; i < r.gates.size(); ++i)
          sum += cotangent(r, static_cast<std::int64_t>(i)) * r.gates[i];
        return sum;
      };
      const auto in = c.seen_by_losses();
      auto gradient = c.no_gradient();
      if (!alone) loss->evaluate(in, 3, &gradient);
      for (std::int64_t i = 0; i < std::ssize(gradient.gates); ++i)
        gradient.gates[i] += cotangent(c.chosen, i);
      c.rule->backward(c.seen(), c.chosen, gradient.gates, gradient);
      const auto chosen = [&] { return choices(c); };
      check_gradient(c.logits, gradient.logits, value, chosen);
      if (c.needs.noise_gate) check_gradient(c.raw, gradient.noise_logits, value, chosen);
    }
  }
}
