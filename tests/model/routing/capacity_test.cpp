#include "model/routing/bias_update.hpp"
#include "model/routing/capacity.hpp"
#include "model/routing/health.hpp"
#include "tests/model/routing/routing_fixture.hpp"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

using namespace troupe;
using namespace troupe::testing;

namespace {

const auto policies = {capacity_policy::probs, capacity_policy::token_major, capacity_policy::choice_major,
                       capacity_policy::bpr, capacity_policy::random};

std::vector<double> priorities(const routing<double>& r) {
  std::vector<double> out(r.experts.size());
  philox_stream(9, "priority").fill_uniform<double>(out);
  return out;
}

/// E·Σ_e n_e/(T·k)·mean_t p_te of rows [first, first + rows), written as in the text.
double balance_within(const router_case<double>& c, std::int64_t k, bool sigmoid, std::int64_t first,
                      std::int64_t rows) {
  std::vector<double> count(static_cast<std::size_t>(c.E)), mean(count.size());
  for (auto t = first; t < first + rows; ++t) {
    std::vector<double> score;
    for (std::int64_t e = 0; e < c.E; ++e) {
      const auto z = c.logits[static_cast<std::size_t>(t * c.E + e)];
      score.push_back(sigmoid ? 1 / (1 + std::exp(-z)) : std::exp(z));
    }
    const auto sum = std::accumulate(score.begin(), score.end(), 0.0);
    auto sorted = score;
    std::ranges::sort(sorted, std::greater());
    for (std::size_t e = 0; e < score.size(); ++e) {
      count[e] += score[e] >= sorted[static_cast<std::size_t>(k - 1)] ? 1 : 0;
      mean[e] += score[e] / sum / static_cast<double>(rows);
    }
  }
  return static_cast<double>(c.E) / static_cast<double>(rows * k)
         * std::inner_product(count.begin(), count.end(), mean.begin(), 0.0);
}

} // namespace

TEST_CASE("a capacity that nobody reaches drops nothing, under every policy", "[unit]") {
  for (const auto& o : every_router()) {
    INFO(described(o));
    router_case<double> c(o, 40, 6);
    const auto r = c.rule->route(c.seen());
    for (const auto policy : policies) {
      const auto s = drop_over_capacity<double>(r, policy, r.tokens, priorities(r), false);
      for (std::size_t i = 0; i < s.kept.size(); ++i) {
        CHECK(s.kept[i] == r.in_use(static_cast<std::int64_t>(i)));
        CHECK(s.gates[i] == (s.kept[i] ? r.gates[i] : 0));
      }
    }
  }
}

TEST_CASE("every policy keeps min(n, C) slots of each expert, with their gates", "[unit]") {
  router_options o;
  o.experts_per_token = 3;
  o.losses.clear();
  router_case<double> c(o, 60, 6);
  const auto r = c.rule->route(c.seen());
  for (const std::int64_t capacity : {0, 1, 20, 29, 35})
    for (const auto policy : policies) {
      const auto s = drop_over_capacity<double>(r, policy, capacity, priorities(r), false);
      for (std::size_t e = 0; e < 6; ++e)
        CHECK(s.counts[e] == std::min<std::uint64_t>(r.counts[e], capacity));
      for (std::size_t i = 0; i < s.kept.size(); ++i) CHECK(s.gates[i] == (s.kept[i] ? r.gates[i] : 0));
    }
}

TEST_CASE("the capacity is rounded up after multiplying in double", "[unit]") {
  CHECK(capacity_of(16, 2, 4, 1.0, 0) == 8);
  CHECK(capacity_of(16, 2, 4, 1.25, 0) == 10);
  CHECK(capacity_of(50, 1, 5, 1.1, 0) == 11); // 10 · 1.1 is 11 in double; 1.1 / 5 · 50 is not
  CHECK(capacity_of(16, 1, 4, 0.5, 3) == 3);
  CHECK(capacity_of(16, 2, 4, 1e300, 0) >= 32); // no limit, however large
}

TEST_CASE("gates renormalised after dropping have the gradient of their formula", "[unit]") {
  routing<double> r;
  r.tokens = 2;
  r.slots = 3;
  r.experts = {0, 1, 2, 0, 1, 2};
  r.gates = {0.5, 0.3, 0.2, 0.1, 0.3, 0.6};
  r.counts = {2, 2, 2};
  const std::vector<double> weight = {1, -2, 3, 0.5, 4, -1};
  const auto value = [&] {
    const auto s = drop_over_capacity<double>(r, capacity_policy::token_major, 1, {}, true);
    double sum = 0;
    for (std::size_t i = 0; i < weight.size(); ++i) sum += weight[i] * s.gates[i];
    return sum;
  };
  r.experts = {0, 1, 2, 1, 3, 4};
  r.counts = {1, 2, 1, 1, 1};
  auto gradient = weight;
  capacity_backward<double>(drop_over_capacity<double>(r, capacity_policy::token_major, 1, {}, true), 3,
                            gradient);
  CHECK(gradient[3] == 0); // dropped
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const auto kept = r.gates[i];
    r.gates[i] = kept + 1e-6;
    const auto up = value();
    r.gates[i] = kept - 1e-6;
    const auto down = value();
    r.gates[i] = kept;
    CHECK(gradient[i] == Catch::Approx((up - down) / 2e-6).margin(1e-8));
  }
}

TEST_CASE("the selection bias moves against the load by its rate", "[unit]") {
  std::vector<double> bias = {0, 0.5, -1, 0};
  update_bias<double>(bias, std::vector<double>{3, 1, 2, 2}, 0.1, false);
  CHECK(bias == std::vector<double>{-0.1, 0.6, -1, 0});
  update_bias<double>(bias, std::vector<double>{9, 1, 1, 1}, 0.1, true); // change −.1 .1 .1 .1, mean .05
  CHECK(bias[0] == Catch::Approx(-0.25));
  CHECK(bias[1] == Catch::Approx(0.65));
}

TEST_CASE("health is that of the formulas", "[unit]") {
  const std::vector<std::uint64_t> even = {8, 8, 8, 8};
  const auto good = health_of(even);
  CHECK(good.load_max_over_mean == 1);
  CHECK(good.balancedness == 1);
  CHECK(good.load_cv_population == 0);
  CHECK(good.load_entropy_nats == Catch::Approx(std::log(4.0)));
  CHECK(good.dead_experts == 0);
  const std::vector<std::uint64_t> dead = {30, 2, 0, 0};
  CHECK(health_of(dead).dead_experts == 2);
  CHECK(health_of(std::vector<std::uint64_t>(3)).dead_experts == 3);
}

TEST_CASE("sequences count by their rows, the shorter last one too", "[unit]") {
  for (const auto sigmoid : {false, true}) {
    INFO((sigmoid ? "sigmoid" : "softmax"));
    router_options o;
    o.name = sigmoid ? "sigmoid_bias" : "softmax";
    router_case<double> c(o, 10, 5);
    const auto loss = [&](std::int64_t length) {
      const loss_formula f{.name = "sequence", .k = 2, .score = c.needs.score, .sequence_length = length};
      return make_loss<double>(f, c.E).value()->evaluate(c.seen_by_losses(), 0, nullptr);
    };
    const auto within = [&](std::int64_t first, std::int64_t rows) {
      return balance_within(c, 2, sigmoid, first, rows);
    };
    CHECK(loss(5) == Catch::Approx((within(0, 5) + within(5, 5)) / 2));
    CHECK(loss(4) == Catch::Approx(0.4 * within(0, 4) + 0.4 * within(4, 4) + 0.2 * within(8, 2)));
    CHECK(loss(10) == Catch::Approx(within(0, 10)));
    CHECK(loss(99) == Catch::Approx(within(0, 10)));
  }
  CHECK(make_loss<double>({.name = "sequence", .k = 2}, 4).error().text
        == "[loss] rows of a sequence: got 0, limit 1 or more");
}

TEST_CASE("importance is of the gates in use, and its gradient theirs", "[unit]") {
  const double z[6] = {};
  routing<double> chosen;
  chosen.tokens = 2;
  chosen.slots = 3;
  chosen.experts = {0, 1, 2, 2, -1, 0};
  chosen.gates = {0.75, 0.25, 0.5, 0.5, 0, 0.125};
  chosen.used = {1, 1, 0, 1, 1, 0}; // sums 3/4, 1/4, 1/2: variance 1/16, mean 1/2
  const loss_input<double> in{
    .logits = {z, 2, 3}, .probabilities = {}, .log_partition = {}, .chosen = &chosen};
  loss_gradient<double> gradient{{}, std::vector<double>(6, 1.0)};
  const auto loss = make_loss<double>({.name = "importance"}, 3).value();
  CHECK(loss->sums(in) == std::vector{0.75, 0.25, 0.5});
  CHECK(loss->evaluate(in, 3, &gradient) == Catch::Approx(0.25));
  const double expected[6] = {3, -3, 1, 0, 1, 1}; // 1 + 3 · (4 · (sum − 1/2) − 1/3)
  for (std::size_t i = 0; i < 6; ++i) CHECK(gradient.gates[i] == Catch::Approx(expected[i]).margin(1e-8));
}

TEST_CASE("losses at perfect balance have the value they are logged with", "[unit]") {
  // Token t prefers experts t and t+1 (mod 4): counts and mean probabilities are even.
  std::vector<double> z;
  for (int t = 0; t < 8; ++t)
    for (int e = 0; e < 4; ++e) z.push_back(e == t % 4 ? 2.0 : e == (t + 1) % 4 ? 1.0 : 0.0);
  const auto scores = softmax_rows<double>({z.data(), 8, 4});
  const loss_input<double> in{{z.data(), 8, 4}, scores.view(4), scores.log_partition, {}, {}, {}, 0};
  for (const auto* name : {"switch", "first_choice", "hf", "variance", "nanomoe", "sequence"}) {
    INFO(name);
    const loss_formula f{.name = name, .k = 2, .sequence_length = 4};
    CHECK(make_loss<double>(f, 4).value()->evaluate(in, 0, nullptr)
          == Catch::Approx(value_at_balance(f, 4)).margin(1e-15));
  }
  const std::vector<double> zero(32);
  const auto flat = softmax_rows<double>({zero.data(), 8, 4});
  const loss_input<double> silent{{zero.data(), 8, 4}, flat.view(4), flat.log_partition, {}, {}, {}, 0};
  CHECK(make_loss<double>({.name = "z"}, 4).value()->evaluate(silent, 0, nullptr)
        == Catch::Approx(value_at_balance({.name = "z"}, 4)));
  CHECK(!make_loss<double>({.name = "load", .k = 4}, 4));
  CHECK(!make_loss<double>({.name = "nothing"}, 4));
}
