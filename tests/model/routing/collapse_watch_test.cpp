#include "model/routing/collapse_watch.hpp"

#include "model/random.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace troupe;
using Catch::Matchers::ContainsSubstring;
using loads = std::vector<std::uint64_t>;

namespace {

/// What it says over `steps` equal steps, and after how many.
struct outcome {
  std::string text;
  int after = 0;
  int warnings = 0;
};

outcome watch(const router_options& router, const loads& counts, int steps) {
  collapse_watch w(router);
  outcome out;
  for (int step = 1; step <= steps; ++step)
    if (auto text = w.take(counts)) {
      if (out.warnings++ == 0) out.after = step;
      out.text = *text;
    }
  return out;
}

router_options named(const std::string& name, std::uint32_t k = 2) {
  router_options o;
  o.name = name;
  o.experts_per_token = k;
  return o;
}

} // namespace

TEST_CASE("experts without a token for two windows are told of once, with the remedy", "[unit]") {
  const auto seen = watch(named("softmax"), {30, 20, 14, 0}, 1000);
  CHECK(seen.warnings == 1);
  CHECK(seen.after == 200);
  CHECK_THAT(seen.text,
             ContainsSubstring("routing collapses: 1 of 4 experts got no token in the last 100 steps")
               && ContainsSubstring("1.9 times the mean")
               && ContainsSubstring("raise --router-aux-loss-coef (0.1, say)"));
}

TEST_CASE("nearly all tokens at few experts are a collapse, though the others have some", "[unit]") {
  CHECK(watch(named("switch", 1), {60, 2, 1, 1}, 200).warnings == 1);            // e^entropy 1.3
  CHECK(watch(named("softmax"), {60, 60, 2, 2, 1, 1, 1, 1}, 200).warnings == 1); // 2.7 of 8
  CHECK(watch(named("switch", 1), {30, 12, 12, 10}, 1000).warnings == 0);
  CHECK(watch(named("softmax"), {64, 60, 2, 2}, 1000).warnings == 0); // 2.3 of 4, which two always is
  // Most rows choose expert 0, beside others of their own: it acts as a shared expert.
  CHECK(watch(named("softmax"), {60, 10, 9, 9, 10, 10, 10, 10}, 1000).warnings == 0);
}

TEST_CASE("an idle phase that ends is no collapse", "[unit]") {
  collapse_watch w(named("softmax"));
  for (int step = 0; step < 1000; ++step)
    CHECK_FALSE(w.take(step < 150 ? loads{64, 64, 0, 0} : loads{40, 30, 30, 28}));
}

TEST_CASE("more experts than rows is no collapse while the choice is even", "[unit]") {
  collapse_watch w(named("softmax"));
  const philox_stream draws(1, "even");
  std::vector<double> u(3000);
  draws.fill_uniform<double>(u);
  int collapsing = 0;
  for (int step = 0; step < 1000; ++step) { // 3 choices a step among 64 experts: 0.05 a step each
    loads counts(64);
    for (int i = 0; i < 3; ++i)
      ++counts[static_cast<std::size_t>(u[static_cast<std::size_t>(3 * step + i)] * 64)];
    collapsing += w.take(counts).has_value();
  }
  CHECK(collapsing == 0);
  // The same few rows, always to the same experts: two windows of 640 steps, 30 rows for each expert at
  // balance.
  loads few(64);
  few[0] = few[1] = few[2] = 1;
  CHECK(watch(named("softmax"), few, 1280).after == 1280);
}

TEST_CASE("the remedy is one that the router can take", "[unit]") {
  const loads dead = {64, 64, 0, 0};
  CHECK_THAT(watch(named("task", 1), dead, 200).text, ContainsSubstring("as there are classes"));
  CHECK_THAT(watch(named("hash", 1), dead, 200).text, ContainsSubstring("--router-hash-seed"));
  CHECK_THAT(watch(named("sigmoid_bias"), dead, 200).text, ContainsSubstring("--router-bias-update-rate"));
  CHECK_THAT(watch(named("noisy_top_k"), dead, 200).text,
             ContainsSubstring("--router-loss importance and load"));
  CHECK_THAT(watch(named("sinkhorn"), dead, 200).text, !ContainsSubstring("aux"));
  auto strong = named("switch", 1);
  strong.losses = {{"switch", 0.2}};
  CHECK_THAT(watch(strong, dead, 200).text, ContainsSubstring("--router-aux-loss-coef (0.6, say)"));
}

TEST_CASE("more experts per token is no remedy where the router refuses them", "[unit]") {
  const loads dead = {64, 64, 0, 0};
  const auto more = ContainsSubstring("more experts per token");
  for (const auto* name : {"softmax", "softmax_post", "sinkhorn", "quantile"})
    CHECK_THAT(watch(named(name), dead, 200).text, more);
  CHECK_THAT(watch(named("switch", 1), dead, 200).text,
             !more
               && ContainsSubstring("or choose a router that balances by itself (sinkhorn, expert_choice)"));
  CHECK_THAT(watch(named("gshard", 2), dead, 200).text, !more && ContainsSubstring("sigmoid_bias"));
  CHECK_THAT(watch(named("expert_choice"), dead, 200).text,
             !more && ContainsSubstring("raise --router-choice-capacity-factor"));
  CHECK_THAT(watch(named("quantile", 3), dead, 200).text,
             !more && ContainsSubstring("; choose fewer experts"));
  auto grouped = named("group_limited");
  grouped.base = "softmax";
  grouped.groups = 2;
  grouped.groups_kept = 1;
  CHECK_THAT(watch(grouped, dead, 200).text, !more); // two of four experts are in reach
  grouped.groups_kept = 2;
  CHECK_THAT(watch(grouped, dead, 200).text, more);
}

TEST_CASE("a remedy raises what is already set", "[unit]") {
  const loads dead = {64, 64, 0, 0};
  auto biased = named("sigmoid_bias");
  biased.bias_update_rate = 0.02;
  biased.losses = {{"switch", 0.05}};
  CHECK_THAT(
    watch(biased, dead, 200).text,
    ContainsSubstring("--router-bias-update-rate (0.06, say) or --router-aux-loss-coef (0.15, say)"));
  auto noisy = named("noisy_top_k");
  noisy.losses = {{"importance", 0.2}, {"load", 0.2}};
  CHECK_THAT(watch(noisy, dead, 200).text, ContainsSubstring("importance and load (0.6, say)"));
}
