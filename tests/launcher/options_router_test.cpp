#include "launcher/command_line.hpp"
#include "model/configuration_routing.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace troupe;
using namespace troupe::launcher;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

expected<router_options> routing(std::vector<std::string> words) {
  words.insert(words.begin(), "train");
  const auto result = read_command_line(words);
  if (!result) return tl::unexpected(result.error());
  return std::get<train_options>(*result).config.model.router;
}

router_options good(const std::vector<std::string>& words) {
  const auto result = routing(words);
  INFO((result ? std::string() : result.error().text));
  REQUIRE(result);
  return *result;
}

using losses = std::vector<loss_option>;

router_options everything_chosen() {
  auto o = router_options{};
  o.name = "group_limited";
  o.experts_per_token = 3;
  o.scale = 2.5;
  o.bias_update_rate = 0.25;
  o.bias_recentre = true;
  o.groups = 4;
  o.groups_kept = 2;
  o.group_mask = "zero";
  o.noise_floor = 0.5;
  o.second = "gumbel";
  o.second_threshold = 0.5;
  o.sinkhorn_tolerance = 1e-3;
  o.sinkhorn_epsilon = 1e-7;
  o.choice_capacity_factor = 1.5;
  o.hash_seed = 9;
  o.capacity_policy = "random";
  o.capacity_factor = 1.5;
  o.capacity_factor_eval = 3;
  o.capacity_minimum = 4;
  o.renormalise_after_drop = true;
  o.losses = {{"switch", 0.5}, {"z", 0.25}, {"variance", 0}};
  o.sequence_length = 16;
  return o;
}

} // namespace

TEST_CASE("every router can be had by its name alone, with any number of experts", "[unit]") {
  for (const auto& name : standard_routers())
    for (const char* experts : {"2", "3", "4", "7", "8", "64"}) {
      CAPTURE(name, experts);
      CHECK(good({"--router", name, "--num-experts", experts}).name == name);
    }
}

TEST_CASE("names may be written with dashes", "[unit]") {
  CHECK(good({"--router", "sigmoid-bias"}).name == "sigmoid_bias");
  CHECK(good({"--capacity-policy", "token-major"}).capacity_policy == "token_major");
  CHECK(good({"--router-group-mask", "neg-inf"}).group_mask == "neg_inf");
  CHECK(good({"--router-loss", "first-choice=0.5"}).losses.back() == loss_option{"first_choice", 0.5});
}

TEST_CASE("what was not chosen goes with the router", "[unit]") {
  CHECK(good({"--router", "switch"}).experts_per_token == 1);
  CHECK(good({"--router", "switch"}).losses == losses{{"switch", 0.2}});
  CHECK(good({"--router", "hash"}).experts_per_token == 1);
  CHECK(good({"--router", "hash"}).losses.empty());
  CHECK(good({"--router", "task"}).losses.empty());
  CHECK(good({"--router", "gshard", "--num-experts", "9"}).experts_per_token == 2);
  CHECK(good({"--router", "dense", "--num-experts", "9"}).experts_per_token == 9);
  CHECK(good({"--router", "quantile", "--num-experts", "2"}).experts_per_token == 1);
  CHECK(good({"--num-experts", "1"}).experts_per_token == 1);
  for (const char* name : {"sigmoid_bias", "group_limited", "sinkhorn", "expert_choice", "quantile", "dense"})
    CHECK(good({"--router", name}).losses.empty());
  CHECK(good({"--router", "group_limited", "--router-base", "softmax"}).losses == losses{{"switch", 0.01}});
  CHECK(good({"--router", "noisy_top_k"}).losses == losses{{"importance", 0.01}, {"load", 0.01}});
  CHECK(good({"--router", "noisy_top_k", "--num-experts-per-token", "4"}).losses
        == losses{{"importance", 0.01}});
}

TEST_CASE("groups that were not chosen leave enough experts to choose from", "[unit]") {
  const auto groups = [](const char* experts, const char* k) {
    const auto r = good(
      {"--router", "group_limited", "--num-experts", experts, "--num-experts-per-token", k});
    return std::pair(r.groups, r.groups_kept);
  };
  CHECK(groups("256", "8") == std::pair(8u, 4u)); // DeepSeek-V3
  CHECK(groups("8", "2") == std::pair(4u, 2u));
  CHECK(groups("4", "2") == std::pair(2u, 1u));
  CHECK(groups("4", "3") == std::pair(1u, 1u));
  CHECK(groups("7", "2") == std::pair(1u, 1u));
  const auto chosen = good({"--router", "group_limited", "--num-experts", "16", "--router-groups", "4",
                            "--router-groups-kept", "3"});
  CHECK(chosen.groups == 4);
  CHECK(chosen.groups_kept == 3);
}

TEST_CASE("what was chosen stays", "[unit]") {
  CHECK(good({"--num-experts",
              "8",
              "--router",
              "group_limited",
              "--num-experts-per-token",
              "3",
              "--router-scale",
              "2.5",
              "--router-bias-update-rate",
              "0.25",
              "--router-bias-recentre",
              "--router-groups",
              "4",
              "--router-groups-kept",
              "2",
              "--router-base",
              "sigmoid",
              "--router-group-mask",
              "zero",
              "--router-noise-floor",
              "0.5",
              "--router-second",
              "gumbel",
              "--router-second-threshold",
              "0.5",
              "--router-sinkhorn-tolerance",
              "1e-3",
              "--router-sinkhorn-epsilon",
              "1e-7",
              "--router-choice-capacity-factor",
              "1.5",
              "--router-hash-seed",
              "9",
              "--capacity-policy",
              "random",
              "--capacity-factor",
              "1.5",
              "--capacity-factor-eval",
              "3",
              "--capacity-minimum",
              "4",
              "--renormalise-after-drop",
              "--router-aux-loss-coef",
              "0.5",
              "--router-z-loss-coef",
              "0.25",
              "--router-loss",
              "variance=0",
              "--sequence-length",
              "16"})
        == everything_chosen());
}

TEST_CASE("a loss that was chosen changes only itself", "[unit]") {
  CHECK(good({"--router-loss", "variance=0.1"}).losses == losses{{"switch", 0.01}, {"variance", 0.1}});
  CHECK(good({"--router-loss", "switch=0.1,z=0.5"}).losses == losses{{"switch", 0.1}, {"z", 0.5}});
  CHECK(good({"--router-aux-loss-coef", "0", "--router-loss", "variance=0.1"}).losses
        == losses{{"variance", 0.1}});
  CHECK(good({"--router", "noisy_top_k", "--router-loss", "load=0", "--router-aux-loss-coef", "1"}).losses
        == losses{{"importance", 0.01}, {"load", 0}, {"switch", 1}});
}

TEST_CASE("a loss that cannot be read is refused with the flag", "[unit]") {
  for (const char* text : {"z", "z=", "z=much", "=", "variance=0.1x"}) {
    CAPTURE(text);
    CHECK_THAT(routing({"--router-loss", text}).error().text,
               ContainsSubstring("--router-loss: got '") && ContainsSubstring("limit NAME=COEF"));
  }
  CHECK_THAT(routing({"--router-loss", "luck=1"}).error().text, ContainsSubstring("'luck', limit switch |"));
  CHECK_THAT(routing({"--router-loss", "hf=nan"}).error().text,
             ContainsSubstring("--router-loss hf: got nan"));
  CHECK_THAT(routing({"--router-loss", "z=1", "--router-loss", "z=2"}).error().text,
             ContainsSubstring("'z' twice"));
  CHECK_THAT(routing({"--router-aux-loss-coef", "1", "--router-loss", "switch=2"}).error().text,
             ContainsSubstring("'switch' twice"));
}

TEST_CASE("a loss is refused by the flag that was typed", "[unit]") {
  const auto problem = [](const std::vector<std::string>& words) { return routing(words).error().text; };
  CHECK_THAT(problem({"--router-loss", "switch=-1"}), StartsWith("--router-loss switch: got -1"));
  CHECK_THAT(problem({"--router-loss", "switch=nan"}), StartsWith("--router-loss switch: got nan"));
  CHECK_THAT(problem({"--router-loss", "z=-1"}), StartsWith("--router-loss z: got -1"));
  CHECK_THAT(problem({"--router-aux-loss-coef", "-1"}), StartsWith("--router-aux-loss-coef: got -1"));
  CHECK_THAT(problem({"--router-z-loss-coef", "-1"}), StartsWith("--router-z-loss-coef: got -1"));
  CHECK_THAT(problem({"--router", "sinkhorn", "--router-loss", "switch=0.1"}),
             StartsWith("--router-loss switch: got 0.1 with --router sinkhorn"));
}
