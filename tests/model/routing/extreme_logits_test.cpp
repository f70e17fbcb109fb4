#include "model/routing/health.hpp"
#include "model/routing/selection.hpp"
#include "model/run_failure.hpp"
#include "tests/model/routing/routing_fixture.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

using namespace troupe;
using namespace troupe::testing;

namespace {

constexpr std::int64_t T = 20;
constexpr std::int64_t E = 6;

/// Logits that a diverging run has, by name. A place's sign and size are a function of where it is.
template <class Real>
std::vector<std::pair<std::string, std::vector<Real>>> extreme_logits() {
  std::vector<std::pair<std::string, std::vector<Real>>> out;
  const auto add = [&](const std::string& name, const std::function<Real(std::int64_t, std::int64_t)>& z) {
    std::vector<Real> values;
    for (std::int64_t t = 0; t < T; ++t)
      for (std::int64_t e = 0; e < E; ++e) values.push_back(z(t, e));
    out.emplace_back(name, std::move(values));
  };
  for (const Real size : {Real(100), Real(800), Real(1e4), Real(1e30), std::numeric_limits<Real>::max()}) {
    const auto text = std::to_string(std::log10(static_cast<double>(size)));
    add("equal, 10^" + text, [=](auto, auto) { return size; });
    add("equal, -10^" + text, [=](auto, auto) { return -size; });
    add("signs, 10^" + text, [=](auto t, auto e) { return (t * 7 + e * 3) % 5 < 2 ? size : -size; });
    add("one huge, 10^" + text, [=](auto t, auto e) { return t == 3 && e == 4 ? size : Real(0.25) * e; });
    add("one expert, 10^" + text, [=](auto t, auto e) { return e == 2 ? size : Real(0.125) * (t % 4); });
    add("spread, 10^" + text,
        [=](auto t, auto e) { return size * (static_cast<Real>((t * 5 + e * e) % 13 - 6) / 6); });
  }
  return out;
}

const std::vector<std::string> loss_names = {"switch",     "first_choice", "hf",      "sequence",
                                             "z",          "variance",     "nanomoe", "tutel_load_importance",
                                             "importance", "load"};

template <class Real>
bool all_finite(const std::vector<Real>& values) {
  return std::all_of(values.begin(), values.end(), [](Real v) { return std::isfinite(v); });
}

/// Whether every token has distinct experts with finite gates, and each expert its count.
template <class Real>
bool sound(const routing<Real>& r) {
  std::vector<std::uint64_t> counts(E);
  for (std::int64_t t = 0; t < r.tokens; ++t) {
    std::set<std::int32_t> seen;
    for (std::int64_t j = t * r.slots; j < (t + 1) * r.slots; ++j) {
      if (r.experts[j] < 0) continue;
      if (r.experts[j] >= E || !seen.insert(r.experts[j]).second) return false;
      ++counts[static_cast<std::size_t>(r.experts[j])];
    }
  }
  return all_finite(r.gates) && counts == r.counts;
}

/// What `f` ends the run with; empty if it does not.
std::string failure_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const run_failure& e) {
    return e.reason().text;
  }
  return {};
}

/// The gradient of the gates' weighted sum, and of `loss` if there is one.
template <class Real>
logit_gradient<Real> gradient_of(router_case<Real>& c, const router_loss<Real>* loss) {
  const auto in = c.seen_by_losses();
  auto out = c.no_gradient();
  if (loss != nullptr) loss->evaluate(in, 0.5, &out);
  for (std::int64_t i = 0; i < std::ssize(out.gates); ++i)
    if (c.chosen.in_use(i)) out.gates[i] += Real(0.5) - static_cast<Real>(i % 3);
  c.rule->backward(c.seen(), c.chosen, out.gates, out);
  return out;
}

template <class Real>
void check_losses(router_case<Real>& c, const std::string& where, bool may_fail) {
  CHECK(all_finite(gradient_of<Real>(c, nullptr).logits));
  const auto in = c.seen();
  CHECK(std::isfinite(router_entropy(in.logits, in.probabilities, in.log_partition)));
  for (const auto& name : loss_names) {
    if (name == "load" && c.needs.slots == E) continue;
    INFO(where << " with loss " << name);
    loss_formula f{.name = name, .k = c.needs.slots, .score = c.needs.score};
    if (name == "sequence") f.sequence_length = T / 4;
    const auto loss = make_loss<Real>(f, E).value();
    const auto failure = failure_of([&] {
      const auto value = loss->evaluate(c.seen_by_losses(), 0, nullptr);
      const auto gradient = gradient_of<Real>(c, loss.get());
      const auto finite = std::isfinite(value) && all_finite(gradient.logits)
                          && all_finite(gradient.noise_logits);
      CHECK((finite || may_fail)); // the trunk ends the run: see classifier_trunk_test
    });
    CHECK((failure.empty() || (may_fail && failure.starts_with("[router] "))));
  }
}

template <class Real>
void check_every_router() {
  for (const auto& o : every_router())
    for (const auto& [name, logits] : extreme_logits<Real>())
      for (const bool noisy : {false, true}) {
        router_case<Real> c(o, T, E);
        if (!c.needs.gate || (noisy && !c.needs.noise_gate)) continue;
        c.logits = logits;
        if (noisy) c.raw = logits;
        const auto where = described(o) + ", " + name + (noisy ? ", noise alike" : "");
        INFO(where);
        const auto size = std::abs(*std::max_element(
          logits.begin(), logits.end(), [](Real a, Real b) { return std::abs(a) < std::abs(b); }));
        const bool may_fail = size > Real(1e30); // twice that is beyond the type's range, or its square is
        routing<Real> r;
        const auto failure = failure_of([&] { r = c.rule->route(c.seen()); });
        CHECK((failure.empty() || (may_fail && failure.starts_with("[router] "))));
        if (!failure.empty()) continue;
        CHECK(sound(r));
        check_losses(c, where, may_fail);
      }
}

} // namespace

TEST_CASE("extreme logits give finite values and valid slots, or end the run, in single precision",
          "[unit]") {
  check_every_router<float>();
}

TEST_CASE("extreme logits give finite values and valid slots, or end the run, in double precision",
          "[unit]") {
  check_every_router<double>();
}

TEST_CASE("sinkhorn balances logits beyond exp's range as it does those that differ by one constant",
          "[unit]") {
  router_options o;
  o.name = "sinkhorn";
  o.experts_per_token = 2;
  o.losses.clear();
  router_case<double> c(o, T, E);
  for (auto& z : c.logits) z = std::round(z * 64) / 64; // so that adding the constant loses nothing
  const auto routed = [&] {
    auto in = c.seen();
    in.details = true;
    return c.rule->route(in);
  };
  const auto plain = routed();
  for (auto& z : c.logits) z += 4096; // only epsilon, which then counts for nothing, tells the two apart
  const auto shifted = routed();
  REQUIRE(shifted.details.at(0).name == "plan");
  double sums[E] = {};
  for (std::size_t i = 0; i < shifted.details[0].values.size(); ++i) {
    CHECK(std::abs(shifted.details[0].values[i] - plain.details[0].values[i]) < 1e-8);
    sums[i % E] += shifted.details[0].values[i];
  }
  for (const auto s : sums) CHECK(std::abs(s - 1.0 / E) < 1e-6);
  CHECK(shifted.experts == plain.experts);
}

TEST_CASE("a row without enough scores that are numbers ends the run with its token named", "[unit]") {
  constexpr auto nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> scores = {1, 2, 3, nan, 4, -std::numeric_limits<double>::infinity()};
  const auto failure = failure_of([&] { (void)top_k<double>({scores.data(), 2, 3}, 2); });
  CHECK(failure.find("scores of token 1: got too few") != std::string::npos);
  CHECK(top_k<double>({scores.data(), 2, 3}, 1) == std::vector<std::int32_t>{2, 1});
}

TEST_CASE("a slot with an expert or a gate that cannot be ends the run with its token named", "[unit]") {
  routing<double> r;
  r.tokens = 2;
  r.slots = 2;
  r.experts = {0, 1, 2, -1};
  r.gates = {0.5, 0.5, 1, 0};
  CHECK(failure_of([&] { require_sound(r, 3); }).empty());
  CHECK(failure_of([&] { require_sound(r, 2); }).find("expert of token 1, slot 0: got 2")
        != std::string::npos);
  r.gates[3] = std::numeric_limits<double>::infinity();
  CHECK(failure_of([&] { require_sound(r, 3); }).find("gate of token 1, slot 1: got inf")
        != std::string::npos);
}
