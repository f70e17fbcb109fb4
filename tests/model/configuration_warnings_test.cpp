#include "model/configuration.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <functional>

using namespace troupe;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

TEST_CASE("what is allowed but probably not meant is warned of with the remedy", "[unit]") {
  CHECK(warnings_of(configuration{}).empty());
  const auto only = [](const configuration& c) {
    CHECK(validate(c).has_value());
    const auto all = warnings_of(c);
    REQUIRE(all.size() == 1);
    return all.front();
  };
  configuration slow;
  slow.model.router.name = "sigmoid_bias";
  slow.model.router.experts_per_token = 1;
  CHECK_THAT(only(slow), ContainsSubstring("--num-experts-per-token 1")
                           && ContainsSubstring("too slow to prevent a collapse"));
  configuration unread;
  unread.model.router.bias_update_rate = 0.1;
  CHECK_THAT(only(unread), StartsWith("--router-bias-update-rate changes nothing with --router softmax"));
  configuration unlimited;
  unlimited.model.router.name = "group_limited";
  CHECK_THAT(only(unlimited), ContainsSubstring("keeps 1 of 1 groups, which limits nothing"));
  unlimited.model.router.groups = 2;
  CHECK(warnings_of(unlimited).empty());
  configuration idle;
  idle.model.router.capacity_factor = 2;
  CHECK_THAT(only(idle), ContainsSubstring("--capacity-policy none"));
  idle = {};
  idle.data.gaussian_rows = 1;
  CHECK_THAT(only(idle), ContainsSubstring("changes nothing with --data fashion-mnist"));
  idle = {};
  idle.optimizer.name = "sgd";
  idle.optimizer.beta1 = 0.5;
  CHECK_THAT(only(idle), ContainsSubstring("--beta1") && ContainsSubstring("--optimizer sgd"));
  idle = {};
  idle.optimizer.clip_scope = "local";
  CHECK_THAT(only(idle), StartsWith("--clip-scope changes nothing with --clip-norm 0"));
  idle = {};
  idle.optimizer.min_learning_rate = 1e-4;
  CHECK(warnings_of(idle).empty());
  idle.optimizer.schedule = "constant";
  CHECK_THAT(only(idle), StartsWith("--min-lr changes nothing"));
  idle = {};
  idle.optimizer.warmup_steps = 11;
  CHECK(warnings_of(idle).empty());
  idle.schedule.max_steps = 10;
  CHECK_THAT(only(idle), StartsWith("--warmup-steps 11 is more than --max-steps 10"));
  idle = {};
  idle.schedule.epochs = 2;
  CHECK(warnings_of(idle).empty());
  idle.schedule.max_steps = 3;
  CHECK_THAT(only(idle), StartsWith("--epochs 2 changes nothing with --max-steps 3, which ends the run"));
  idle = {};
  idle.data.name = "gaussian";
  idle.data.directory = "somewhere";
  CHECK_THAT(only(idle), StartsWith("--data-dir changes nothing with --data gaussian"));
  configuration tight;
  tight.model.router.capacity_policy = "probs";
  tight.model.router.capacity_factor = 0.5;
  CHECK_THAT(only(tight), StartsWith("--capacity-factor 0.5 drops rows even at perfect balance"));
}

TEST_CASE("an option that the router does not read is warned of", "[unit]") {
  using change = std::function<void(router_options&)>;
  const auto warnings = [](const std::string& name, std::uint32_t k, const change& changed) {
    configuration c;
    c.model.router.name = name;
    c.model.router.experts_per_token = k;
    c.model.router.losses = {};
    c.model.router.groups = 2;
    if (name != "group_limited") c.model.router.groups = 1;
    changed(c.model.router);
    CHECK(validate(c).has_value());
    return warnings_of(c);
  };
  struct row {
    std::string router;
    std::uint32_t k;
    change changed;
    std::string says; ///< empty: nothing
  };
  const std::vector<row> rows = {
    {"expert_choice", 2, [](auto&) {}, ""},
    {"expert_choice", 3, [](auto&) {}, "--num-experts-per-token changes nothing with --router expert_choice"},
    {"group_limited", 2, [](auto& o) { o.bias_update_rate = 0.5, o.bias_recentre = true; }, ""},
    {"group_limited", 2, [](auto& o) { o.base = "softmax", o.bias_update_rate = 0.5; },
     "--router-bias-update-rate changes nothing with --router group_limited and --router-base softmax"},
    {"group_limited", 2, [](auto& o) { o.base = "softmax", o.bias_recentre = true; },
     "--router-bias-recentre changes nothing with --router group_limited and --router-base softmax"},
    {"gshard", 2, [](auto& o) { o.second = "threshold", o.second_threshold = 0.3; }, ""},
    {"gshard", 2, [](auto& o) { o.second_threshold = 0.3; },
     "--router-second-threshold changes nothing with --router gshard and --router-second random"},
    {"hash", 1,
     [](auto& o) {
       o.losses = {{"variance", 0}};
     },
     "--router-loss variance measures nothing with --router hash"},
    {"sigmoid_bias", 2,
     [](auto& o) {
       o.losses = {{"variance", 0}};
     },
     ""},
    {"sigmoid_bias", 2, [](auto& o) { o.sequence_length = 8; },
     "--sequence-length 8 changes nothing without --router-loss sequence=COEF"},
    {"sigmoid_bias", 2,
     [](auto& o) {
       o.sequence_length = 8, o.losses = {{"sequence", 1e-4}};
     },
     ""},
    {"sigmoid_bias", 2,
     [](auto& o) {
       o.sequence_length = 65, o.losses = {{"sequence", 1e-4}};
     },
     "--sequence-length 65 is more than the 64 rows of a microbatch"},
  };
  for (const auto& each : rows) {
    const auto all = warnings(each.router, each.k, each.changed);
    CAPTURE(each.router, each.says, all);
    REQUIRE(all.size() == (each.says.empty() ? 0 : 1));
    if (!all.empty()) CHECK_THAT(all.front(), StartsWith(each.says));
  }
}

TEST_CASE("quantile is warned of where its thresholds are no whole place", "[unit]") {
  const auto warned = [](std::uint32_t experts, std::uint64_t batch, std::uint32_t microbatches) {
    configuration c;
    c.model.experts = experts;
    c.model.router.name = "quantile";
    c.model.router.losses = {};
    c.schedule.batch_size = batch;
    c.schedule.num_microbatches = microbatches;
    const auto all = warnings_of(c);
    if (!all.empty()) CHECK_THAT(all.front(), StartsWith("--router quantile balances exactly where"));
    return !all.empty();
  };
  CHECK_FALSE(warned(4, 64, 1)); // 128 slots
  CHECK(warned(7, 64, 1));
  CHECK_FALSE(warned(7, 63, 1)); // 126 = 18 · 7
  CHECK_FALSE(warned(4, 64, 8)); // 16 slots each
  CHECK(warned(4, 64, 3));       // 22, 21 and 21 rows: 42 is no multiple of 4
  CHECK_FALSE(warned(4, 12, 3));
}
