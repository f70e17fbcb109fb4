#include "model/configuration_routing.hpp"
#include "model/routing/selection.hpp"
#include "tests/model/routing/routing_fixture.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>

#include <algorithm>
#include <numeric>
#include <set>

using namespace troupe;
using namespace troupe::testing;

namespace {

/// Row t of the case becomes row order[t] of the original.
template <class T>
std::vector<T> rows_in_order(const std::vector<T>& from, const std::vector<std::int64_t>& order,
                             std::int64_t columns) {
  std::vector<T> out;
  for (const auto t : order)
    out.insert(out.end(), from.begin() + t * columns, from.begin() + (t + 1) * columns);
  return out;
}

router_options named(const std::string& name, std::uint32_t k) {
  router_options o;
  o.name = name;
  o.experts_per_token = k;
  o.losses.clear();
  return o;
}

} // namespace

TEST_CASE("a permutation of the tokens permutes their experts and gates", "[unit]") {
  for (const auto& o : every_router()) {
    INFO(described(o));
    router_case<double> c(o, 37, 6);
    const auto before = c.rule->route(c.seen());
    std::vector<std::int64_t> order(static_cast<std::size_t>(c.T));
    std::iota(order.begin(), order.end(), 0);
    std::reverse(order.begin(), order.end());
    std::rotate(order.begin(), order.begin() + 11, order.end());
    c.logits = rows_in_order(c.logits, order, c.E);
    c.raw = rows_in_order(c.raw, order, c.E);
    c.ids = rows_in_order(c.ids, order, 1);
    if (!c.draws.empty())
      c.draws = rows_in_order(c.draws, order, static_cast<std::int64_t>(c.draws.size()) / c.T);
    const auto after = c.rule->route(c.seen());
    REQUIRE(after.slots == before.slots);
    CHECK(after.experts == rows_in_order(before.experts, order, before.slots));
    CHECK(after.gates == rows_in_order(before.gates, order, before.slots));
    CHECK(after.counts == before.counts);
  }
}

TEST_CASE("a router tells its details when asked, and its choices do not depend on it", "[unit]") {
  for (const auto& o : every_router())
    for (const bool training : {true, false}) {
      INFO(described(o) << (training ? " in training" : " in evaluation"));
      router_case<double> c(o, 37, 6);
      if (!training) c.draws.clear();
      auto in = c.seen();
      in.training = training;
      const auto plain = c.rule->route(in);
      in.details = true;
      const auto told = c.rule->route(in);
      CHECK(told.experts == plain.experts);
      CHECK(told.gates == plain.gates);
      CHECK(told.counts == plain.counts);
      const bool thresholds = o.name == "quantile" && training; // the trunk needs them
      CHECK(plain.details.size() == (thresholds ? 1 : 0));
      const bool some = o.name == "noisy_top_k" || o.name == "expert_choice" || o.name == "quantile"
                        || (o.name == "sinkhorn" && training);
      CHECK(told.details.empty() == !some);
    }
}

TEST_CASE("a token's slots are distinct and counted", "[unit]") {
  for (const auto& o : every_router()) {
    INFO(described(o));
    router_case<float> c(o, 50, 6);
    const auto r = c.rule->route(c.seen());
    std::vector<std::uint64_t> counts(6);
    for (std::int64_t t = 0; t < r.tokens; ++t) {
      std::set<std::int32_t> seen;
      for (std::int64_t j = t * r.slots; j < (t + 1) * r.slots; ++j) {
        if (r.experts[j] < 0) continue;
        REQUIRE(r.experts[j] < 6);
        CHECK(seen.insert(r.experts[j]).second);
        ++counts[r.experts[j]];
      }
    }
    CHECK(counts == r.counts);
  }
}

TEST_CASE("single and double precision route alike", "[unit]") {
  for (const auto& o : every_router()) {
    INFO(described(o));
    router_case<float> narrow(o, 40, 6);
    router_case<double> wide(o, 40, 6);
    wide.logits.assign(narrow.logits.begin(), narrow.logits.end());
    wide.raw.assign(narrow.raw.begin(), narrow.raw.end());
    wide.bias.assign(narrow.bias.begin(), narrow.bias.end());
    wide.draws.assign(narrow.draws.begin(), narrow.draws.end());
    const auto a = narrow.rule->route(narrow.seen());
    const auto b = wide.rule->route(wide.seen());
    CHECK(a.experts == b.experts);
    CHECK(a.used == b.used);
    for (std::size_t i = 0; i < a.gates.size(); ++i)
      CHECK(std::abs(a.gates[i] - b.gates[i]) <= 1e-6 * std::max(1.0, b.gates[i]));
  }
}

TEST_CASE("equal scores go to the lowest index", "[unit]") {
  const std::vector<double> scores = {1, 3, 3, 2, 3, 0, 0, 0, 0, 0};
  CHECK(top_k<double>({scores.data(), 2, 5}, 3) == std::vector<std::int32_t>{1, 2, 4, 0, 1, 2});
  const std::vector<float> narrow(scores.begin(), scores.end());
  CHECK(top_k<float>({narrow.data(), 2, 5}, 3) == std::vector<std::int32_t>{1, 2, 4, 0, 1, 2});
}

TEST_CASE("a row's scores do not depend on the rows beside it", "[unit]") {
  std::vector<float> z(100 * 7);
  philox_stream(3, "rows").fill_normal<float>(z);
  const auto all = softmax_rows<float>({z.data(), 100, 7});
  const auto some = softmax_rows<float>({z.data() + 33 * 7, 5, 7});
  for (std::size_t i = 0; i < 5 * 7; ++i) CHECK(some.probabilities[i] == all.probabilities[33 * 7 + i]);
  for (std::size_t i = 0; i < 5; ++i) CHECK(some.log_partition[i] == all.log_partition[33 + i]);
}

TEST_CASE("single precision probabilities are those of double precision to 1e-6", "[unit]") {
  for (const float scale : {1.0f, 10.0f, 80.0f}) {
    std::vector<float> z(200 * 9);
    philox_stream(4, "rows").fill_normal<float>(z);
    for (auto& x : z) x *= scale;
    const std::vector<double> wide(z.begin(), z.end());
    const auto a = softmax_rows<float>({z.data(), 200, 9});
    const auto b = softmax_rows<double>({wide.data(), 200, 9});
    for (std::size_t i = 0; i < z.size(); ++i)
      CHECK(std::abs(a.probabilities[i] - b.probabilities[i]) < 1e-6);
    for (std::size_t i = 0; i < 200; ++i)
      CHECK(std::abs(a.log_partition[i] - b.log_partition[i])
            <= 1e-6 * std::max(1.0, std::abs(b.log_partition[i])));
  }
}

TEST_CASE("logits that are not finite are reported with layer, token and expert", "[unit]") {
  std::vector<float> z(12, 0.5f);
  CHECK(check_finite<float>({z.data(), 3, 4}, 2).has_value());
  z[9] = std::numeric_limits<float>::quiet_NaN();
  const auto refused = check_finite<float>({z.data(), 3, 4}, 2);
  REQUIRE(!refused);
  CHECK(refused.error().text.find("layer 2, token 2, expert 1") != std::string::npos);
  z[9] = std::numeric_limits<float>::infinity();
  CHECK(!check_finite<float>({z.data(), 3, 4}, 2));
}

TEST_CASE("the sign of what is no number is not told", "[unit]") {
  std::vector<double> z(4, 0.5);
  z[3] = -std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH(require_finite<double>({z.data(), 2, 2}, "gradient of the logit"),
                    "[router] gradient of the logit, token 1, expert 1: got nan, limit finite; lower the "
                    "learning rate or clip gradients");
}

TEST_CASE("adding one constant to every bias changes no group-limited choice", "[unit]") {
  auto o = named("group_limited", 2);
  o.groups = 3;
  o.groups_kept = 1;
  router_case<double> c(o, 64, 6);
  const auto before = c.rule->route(c.seen()).experts;
  for (auto& b : c.bias) b -= 2;
  CHECK(c.rule->route(c.seen()).experts == before);
}

TEST_CASE("a router that a configuration may ask for can be made", "[unit]") {
  int made = 0;
  for (const auto& name : standard_routers())
    for (std::uint32_t experts = 1; experts <= 8; ++experts)
      for (std::uint32_t k = 0; k <= experts + 1; ++k)
        for (std::uint32_t groups = 0; groups <= 4; ++groups) {
          configuration c;
          c.model.experts = experts;
          c.model.router = named(name, k);
          c.model.router.losses.clear();
          c.model.router.groups = groups;
          c.model.router.groups_kept = (groups + 1) / 2;
          if (!validate(c)) continue;
          CAPTURE(name, experts, k, groups);
          CHECK(make_router<double>(c.model.router, experts).has_value());
          ++made;
        }
  CHECK(made > 500);
}

TEST_CASE("options that no formula can do with are refused with what is allowed", "[unit]") {
  const auto refused = [](router_options o, std::uint32_t experts) {
    const auto made = make_router<float>(o, experts);
    REQUIRE(!made);
    CHECK(made.error().code == error_code::usage);
    CHECK(made.error().text.find('\n') == std::string::npos);
    return made.error().text;
  };
  CHECK(make_router<float>(named("softmax", 1), 8).has_value());
  CHECK(refused(named("softmax", 9), 8).find("1 to 8") != std::string::npos);
  CHECK(refused(named("switch", 2), 8).find("limit 1") != std::string::npos);
  CHECK(refused(named("gshard", 3), 8).find("limit 2") != std::string::npos);
  CHECK(refused(named("magic", 2), 8).find("softmax | ") != std::string::npos);
  auto groups = named("group_limited", 2);
  groups.groups = 3;
  CHECK(refused(groups, 8).find("a divisor of the 8 experts") != std::string::npos);
  groups.groups = 4;
  groups.groups_kept = 5;
  CHECK(refused(groups, 8).find("1 to the 4 groups") != std::string::npos);
  groups.groups_kept = 1;
  groups.experts_per_token = 9;
  CHECK(refused(groups, 8).find("1 to 8") != std::string::npos);
  auto negative = named("sigmoid_bias", 2);
  negative.scale = std::numeric_limits<double>::quiet_NaN();
  CHECK(refused(negative, 8).find("got nan, limit 1e-30 to 1e+30") != std::string::npos);
  CHECK(make_router<float>(named("softmax", 1), 1).has_value());
}
