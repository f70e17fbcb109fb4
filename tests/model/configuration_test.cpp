#include "model/configuration.hpp"

#include "model/extensions.hpp"
#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <functional>
#include <limits>

using namespace troupe;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

/// Every field at another value than its default.
configuration everything_changed() {
  configuration c;
  c.data = {"gaussian", "some/where", 100, 5, 3};
  c.model.task = "mean_square";
  c.model.experts = 7;
  c.model.expert_hidden_size = 50;
  c.model.expert_kind = "other";
  c.model.expert_activation = "silu";
  c.model.expert_bias = false;
  c.model.shared_experts = 2;
  c.model.shared_expert_hidden_size = 5;
  c.model.shared_expert_gate = true;
  c.model.learn_inputs = true;
  c.model.precision = "f64";
  c.model.router = {"group_limited",
                    3,
                    false,
                    2.5,
                    0.25,
                    true,
                    4,
                    2,
                    "softmax",
                    "zero",
                    0.125,
                    "all",
                    0.5,
                    1e-3,
                    1e-7,
                    1.5,
                    ~std::uint64_t{0},
                    "bpr",
                    1.75,
                    3.5,
                    2,
                    true,
                    {{"z", 1e-3}, {"switch", 0.1}}};
  c.optimizer = {"adamw", 0.1, "cosine", 10, 1e-5, 0.5, 0.8, 0.99, 1e-6, 0.01, 1.5, "local"};
  c.schedule = {42, 64, 4, 3, 2, 100, 500, 1, false};
  c.intra_op_threads = 2;
  return c;
}

struct bad_row {
  std::string flag; ///< what the message must start with
  std::string says; ///< and contain
  std::function<void(configuration&, run_options&)> change;
};

const double nan = std::numeric_limits<double>::quiet_NaN();
const double infinity = std::numeric_limits<double>::infinity();

/// Top-1 whose gate is no constant until the survivors' gates are scaled to sum to 1.
void one_gate_after_dropping(configuration& c, const char* router) {
  c.model.router.name = router;
  c.model.router.experts_per_token = 1;
  c.model.router.capacity_policy = "probs";
  c.model.router.renormalise_after_drop = true;
}

const std::vector<bad_row> bad_rows = {
  {"--data:", "fashion-mnist | gaussian | tensors", [](auto& c, auto&) { c.data.name = "mnist"; }},
  {"--data-dir:", "a safetensors file", [](auto& c, auto&) { c.data.name = "tensors"; }},
  {"--gaussian-rows:", "got 0", [](auto& c, auto&) { c.data.name = "gaussian", c.data.gaussian_rows = 0; }},
  {"--gaussian-width:", "got -1",
   [](auto& c, auto&) { c.data.name = "gaussian", c.data.gaussian_width = -1; }},
  {"--gaussian-classes:", "got 0",
   [](auto& c, auto&) { c.data.name = "gaussian", c.data.gaussian_classes = 0; }},
  {"model.task:", "'guess'", [](auto& c, auto&) { c.model.task = "guess"; }},
  {"--num-experts:", "got 0, limit 1 to 4096", [](auto& c, auto&) { c.model.experts = 0; }},
  {"--num-experts:", "got 4097, limit 1 to 4096", [](auto& c, auto&) { c.model.experts = 4097; }},
  {"--expert-hidden-size:", "got 0", [](auto& c, auto&) { c.model.expert_hidden_size = 0; }},
  {"--expert-hidden-size:", "got -64", [](auto& c, auto&) { c.model.expert_hidden_size = -64; }},
  {"--expert:", "'cnn', limit mlp", [](auto& c, auto&) { c.model.expert_kind = "cnn"; }},
  {"--expert-activation:", "relu | silu | gelu | swiglu",
   [](auto& c, auto&) { c.model.expert_activation = "tanh"; }},
  {"--precision:", "f32 | f64", [](auto& c, auto&) { c.model.precision = "bf16"; }},
  {"--num-experts-per-token:", "got 5, limit 4 (the number of experts); choose fewer or raise --num-experts",
   [](auto& c, auto&) { c.model.router.experts_per_token = 5; }},
  {"--num-experts-per-token:", "got 0", [](auto& c, auto&) { c.model.router.experts_per_token = 0; }},
  {"--num-experts-per-token:", "use --router switch",
   [](auto& c, auto&) { c.model.router.experts_per_token = 1; }},
  {"--num-experts-per-token:", "use --router switch",
   [](auto& c, auto&) { c.model.router.name = "softmax_post", c.model.router.experts_per_token = 1; }},
  {"--num-experts-per-token:", "1 with --router switch",
   [](auto& c, auto&) { c.model.router.name = "switch"; }},
  {"--num-experts-per-token:", "2 with --router gshard",
   [](auto& c, auto&) { c.model.router.name = "gshard", c.model.router.experts_per_token = 3; }},
  {"--num-experts-per-token:", "experts in the groups kept",
   [](auto& c, auto&) {
     c.model.router.name = "group_limited", c.model.router.groups = 4, c.model.router.experts_per_token = 2;
   }},
  {"--router-groups:", "got 3, limit a divisor of 4",
   [](auto& c, auto&) { c.model.router.name = "group_limited", c.model.router.groups = 3; }},
  {"--router-groups:", "got 0",
   [](auto& c, auto&) { c.model.router.name = "group_limited", c.model.router.groups = 0; }},
  {"--router-groups-kept:", "got 2, limit 1 to 1",
   [](auto& c, auto&) { c.model.router.name = "group_limited", c.model.router.groups_kept = 2; }},
  {"--router:", "softmax | softmax_post | switch",
   [](auto& c, auto&) { c.model.router.name = "round_robin"; }},
  {"--router-aux-loss-coef:", "got -0.1",
   [](auto& c, auto&) {
     c.model.router.losses = {{"switch", -0.1}};
   }},
  {"--router-aux-loss-coef:", "got nan",
   [](auto& c, auto&) {
     c.model.router.losses = {{"switch", nan}};
   }},
  {"--router-z-loss-coef:", "got inf",
   [](auto& c, auto&) {
     c.model.router.losses = {{"z", infinity}};
   }},
  {"--router-aux-loss-coef:", "it balances the load by itself",
   [](auto& c, auto&) { c.model.router.name = "sinkhorn"; }},
  {"--router-loss:", "'luck'",
   [](auto& c, auto&) {
     c.model.router.losses = {{"luck", 1}};
   }},
  {"--router-loss:", "twice",
   [](auto& c, auto&) {
     c.model.router.losses = {{"z", 1}, {"z", 1}};
   }},
  {"--capacity-policy:", "'full'", [](auto& c, auto&) { c.model.router.capacity_policy = "full"; }},
  {"--capacity-factor:", "got 0", [](auto& c, auto&) { c.model.router.capacity_factor = 0; }},
  {"--capacity-factor-eval:", "got nan", [](auto& c, auto&) { c.model.router.capacity_factor_eval = nan; }},
  {"--num-experts-per-token:", "use --router switch",
   [](auto& c, auto&) { c.model.router.name = "noisy_top_k", c.model.router.experts_per_token = 1; }},
  {"--num-experts-per-token:", "limit 1 with --router hash",
   [](auto& c, auto&) { c.model.router.name = "hash"; }},
  {"--num-experts-per-token:", "limit 1 with --router task",
   [](auto& c, auto&) { c.model.router.name = "task"; }},
  {"--num-experts-per-token:", "limit 4 with --router dense",
   [](auto& c, auto&) { c.model.router.name = "dense"; }},
  {"--num-experts-per-token:", "limit 3 with --router quantile",
   [](auto& c, auto&) { c.model.router.name = "quantile", c.model.router.experts_per_token = 4; }},
  {"--router:", "goes by the rows' labels",
   [](auto& c, auto&) {
     c.model.task = "mean_square", c.model.router.name = "task", c.model.router.experts_per_token = 1;
     c.model.router.losses = {};
   }},
  {"--router-scale:", "got 0", [](auto& c, auto&) { c.model.router.scale = 0; }},
  {"--router-scale:", "got nan", [](auto& c, auto&) { c.model.router.scale = nan; }},
  {"--router-bias-update-rate:", "got -1", [](auto& c, auto&) { c.model.router.bias_update_rate = -1; }},
  {"--router-base:", "sigmoid | softmax", [](auto& c, auto&) { c.model.router.base = "relu"; }},
  {"--router-group-mask:", "neg_inf | zero", [](auto& c, auto&) { c.model.router.group_mask = "one"; }},
  {"--router-noise-floor:", "got -0.5", [](auto& c, auto&) { c.model.router.noise_floor = -0.5; }},
  {"--router-second:", "random | threshold | gumbel | all",
   [](auto& c, auto&) { c.model.router.second = "third"; }},
  {"--router-second-threshold:", "got 0", [](auto& c, auto&) { c.model.router.second_threshold = 0; }},
  {"--router-sinkhorn-tolerance:", "got 0", [](auto& c, auto&) { c.model.router.sinkhorn_tolerance = 0; }},
  {"--router-sinkhorn-epsilon:", "got inf",
   [](auto& c, auto&) { c.model.router.sinkhorn_epsilon = infinity; }},
  {"--router-choice-capacity-factor:", "got 0",
   [](auto& c, auto&) { c.model.router.choice_capacity_factor = 0; }},
  {"--router-aux-loss-coef:", "it has no logits",
   [](auto& c, auto&) { c.model.router.name = "hash", c.model.router.experts_per_token = 1; }},
  {"--router-z-loss-coef:", "it has no logits",
   [](auto& c, auto&) {
     c.model.router.name = "task", c.model.router.experts_per_token = 1, c.model.router.losses = {{"z", 1}};
   }},
  {"--router-aux-loss-coef:", "it balances the load by itself",
   [](auto& c, auto&) { c.model.router.name = "expert_choice"; }},
  {"--router-loss variance:", "it balances the load by itself",
   [](auto& c, auto&) {
     c.model.router.name = "quantile", c.model.router.losses = {{"variance", 1}};
   }},
  {"--router-loss importance:", "it balances the load by itself",
   [](auto& c, auto&) {
     c.model.router.name = "expert_choice", c.model.router.losses = {{"importance", 1}};
   }},
  {"--router-loss importance:", "it has no logits",
   [](auto& c, auto&) {
     c.model.router.name = "hash", c.model.router.experts_per_token = 1;
     c.model.router.losses = {{"importance", 1}};
   }},
  {"--router-loss load:", "with --router softmax, limit noisy_top_k, which alone has the noise",
   [](auto& c, auto&) {
     c.model.router.losses = {{"load", 1}};
   }},
  {"--router-loss load:", "the best expert that is left out",
   [](auto& c, auto&) {
     c.model.router.name = "noisy_top_k", c.model.router.experts_per_token = 4;
     c.model.router.losses = {{"load", 1}};
   }},
  {"--router-loss load:", "or leave the loss out",
   [](auto& c, auto&) {
     c.model.router.losses = {{"load", 0}};
   }},
  {"--router-loss sequence:", "got 0 with --sequence-length 0",
   [](auto& c, auto&) {
     c.model.router.losses = {{"sequence", 0}};
   }},
  {"--router-loss sequence:", "it balances the load by itself",
   [](auto& c, auto&) {
     c.model.router.name = "quantile", c.model.router.sequence_length = 8;
     c.model.router.losses = {{"sequence", 1}};
   }},
  {"--router-loss variance:", "2 or more, because it is a variance",
   [](auto& c, auto&) {
     c.model.experts = c.model.router.experts_per_token = 1, c.model.router.losses = {{"variance", 1}};
   }},
  {"--router-loss hf:", "got -1",
   [](auto& c, auto&) {
     c.model.router.losses = {{"hf", -1}};
   }},
  {"--capacity-policy:", "choose as many rows as they have room for",
   [](auto& c, auto&) {
     c.model.router.name = "expert_choice", c.model.router.losses = {};
     c.model.router.capacity_policy = "probs";
   }},
  {"--capacity-policy:", "needs no logits",
   [](auto& c, auto&) {
     c.model.router.name = "hash", c.model.router.experts_per_token = 1, c.model.router.losses = {};
     c.model.router.capacity_policy = "bpr";
   }},
  {"--capacity-factor:", "got -1", [](auto& c, auto&) { c.model.router.capacity_factor = -1; }},
  {"--renormalise-after-drop:", "a policy that drops",
   [](auto& c, auto&) { c.model.router.renormalise_after_drop = true; }},
  {"--renormalise-after-drop:", "the one gate would always be 1",
   [](auto& c, auto&) { one_gate_after_dropping(c, "switch"); }},
  {"--renormalise-after-drop:", "the one gate would always be 1",
   [](auto& c, auto&) { one_gate_after_dropping(c, "sigmoid_bias"); }},
  {"--renormalise-after-drop:", "the one gate would always be 1",
   [](auto& c, auto&) { one_gate_after_dropping(c, "softmax"), c.model.router.renormalise = false; }},
  {"--num-shared-experts:", "got 5000, limit 0 to 4096",
   [](auto& c, auto&) { c.model.shared_experts = 5000; }},
  {"--num-shared-experts:", "got 1 with --num-experts 4096, limit 4096",
   [](auto& c, auto&) { c.model.experts = 4096, c.model.shared_experts = 1; }},
  {"--num-shared-experts:", "hidden numbers",
   [](auto& c, auto&) { c.model.expert_hidden_size = 1 << 19, c.model.shared_experts = 4; }},
  {"--shared-expert-hidden-size:", "got -1",
   [](auto& c, auto&) { c.model.shared_experts = 1, c.model.shared_expert_hidden_size = -1; }},
  {"--shared-expert-hidden-size:", "--num-shared-experts of at least 1",
   [](auto& c, auto&) { c.model.shared_expert_hidden_size = 8; }},
  {"--shared-expert-gate:", "--num-shared-experts of at least 1",
   [](auto& c, auto&) { c.model.shared_expert_gate = true; }},
  {"--optimizer:", "sgd | adam | adamw", [](auto& c, auto&) { c.optimizer.name = "lion"; }},
  {"--lr:", "got -0.1", [](auto& c, auto&) { c.optimizer.learning_rate = -0.1; }},
  {"--lr:", "got nan", [](auto& c, auto&) { c.optimizer.learning_rate = nan; }},
  {"--lr-schedule:", "constant | linear | cosine", [](auto& c, auto&) { c.optimizer.schedule = "step"; }},
  {"--min-lr:", "choose at most --lr", [](auto& c, auto&) { c.optimizer.min_learning_rate = 1; }},
  {"--momentum:", "got 1", [](auto& c, auto&) { c.optimizer.name = "sgd", c.optimizer.momentum = 1; }},
  {"--momentum:", "--optimizer sgd", [](auto& c, auto&) { c.optimizer.momentum = 0.9; }},
  {"--beta1:", "got 1", [](auto& c, auto&) { c.optimizer.beta1 = 1; }},
  {"--beta2:", "got -0.5", [](auto& c, auto&) { c.optimizer.beta2 = -0.5; }},
  {"--epsilon:", "got 0", [](auto& c, auto&) { c.optimizer.epsilon = 0; }},
  {"--weight-decay:", "got -1", [](auto& c, auto&) { c.optimizer.weight_decay = -1; }},
  {"--clip-norm:", "got -1", [](auto& c, auto&) { c.optimizer.clip_norm = -1; }},
  {"--clip-scope:", "global | local", [](auto& c, auto&) { c.optimizer.clip_scope = "both"; }},
  {"--router-noise-floor:", "got 3.4e+38, limit 0 to 1e+30",
   [](auto& c, auto&) { c.model.router.name = "noisy_top_k", c.model.router.noise_floor = 3.4e38; }},
  {"--router-scale:", "got 1e+300", [](auto& c, auto&) { c.model.router.scale = 1e300; }},
  {"--batch-size:", "got 0", [](auto& c, auto&) { c.schedule.batch_size = 0; }},
  {"--batch-size:",
   "got 16777216 rows with up to 128 experts each, the shared one included, limit 2147483647",
   [](auto& c, auto&) {
     c.schedule.batch_size = std::uint64_t{1} << 24;
     c.model.experts = 200;
     c.model.router.experts_per_token = 127;
     c.model.shared_experts = 1;
   }},
  {"--batch-size:", "got 16777216 rows with up to 128 experts each",
   [](auto& c, auto&) {
     c.schedule.batch_size = std::uint64_t{1} << 24;
     c.model.experts = 128;
     c.model.router.name = "expert_choice";
     c.model.router.losses = {};
   }},
  {"--num-microbatches:", "got 0", [](auto& c, auto&) { c.schedule.num_microbatches = 0; }},
  {"--num-microbatches:", "got 129, limit 64 (the batch size)",
   [](auto& c, auto&) { c.schedule.num_microbatches = 129; }},
  {"--lanes:", "got 0", [](auto& c, auto&) { c.schedule.lanes = 0; }},
  {"--lanes:", "got 2, limit 1 (the number of microbatches)", [](auto& c, auto&) { c.schedule.lanes = 2; }},
  {"--epochs:", "got 0", [](auto& c, auto&) { c.schedule.epochs = 0; }},
  {"--intra-op-threads:", "got 0", [](auto& c, auto&) { c.intra_op_threads = 0; }},
  {"--nodes:", "got 65", [](auto&, auto& r) { r.nodes = 65; }},
  {"--data-parallel-size:", "got 0", [](auto&, auto& r) { r.data_parallel_size = 0; }},
  {"--data-parallel-size:", "got 2, limit 1 (the number of lanes)",
   [](auto&, auto& r) { r.data_parallel_size = 2; }},
  {"--in-flight:", "got 0", [](auto&, auto& r) { r.in_flight = 0; }},
  {"--wait-policy:", "active | passive", [](auto&, auto& r) { r.wait_policy = "spin"; }},
  {"--compute-threads:", "got 5000", [](auto&, auto& r) { r.compute_threads = 5000; }},
};

} // namespace

TEST_CASE("every field of a configuration survives JSON", "[unit]") {
  const auto config = everything_changed();
  const auto back = configuration_from_json(to_json(config));
  REQUIRE(back.has_value());
  CHECK(*back == config);
  CHECK(to_json(*back) == to_json(config));
  CHECK(configuration_from_json("{}").value() == configuration{});
}

TEST_CASE("every field of the run's options survives JSON", "[unit]") {
  const run_options options{3, 2, 4, 5, "passive", 6};
  CHECK(run_options_from_json(to_json(options)).value() == options);
}

TEST_CASE("the hash of a configuration is the SHA-256 of its JSON", "[unit]") {
  auto config = everything_changed();
  config.data.directory.clear();
  const auto script = "import hashlib,sys;print(hashlib.sha256(sys.argv[1].encode()).hexdigest())";
  const auto python = test::run({TROUPE_PYTHON, "-c", script, to_json(config)}, std::chrono::seconds(60));
  CHECK(python.output == hash_of(config) + "\n");
}

TEST_CASE("the hash of a configuration sees every value but the place of the files", "[unit]") {
  const configuration config;
  auto other = config;
  other.schedule.seed = 1;
  CHECK(hash_of(other) != hash_of(config));
  other = config;
  other.data.directory = "elsewhere";
  CHECK(hash_of(other) == hash_of(config));
}

TEST_CASE("configurations that differ are told by the keys, with both values", "[unit]") {
  const configuration run;
  auto given = run;
  given.data.directory = "elsewhere";
  CHECK(differences(run, given).empty());
  given.model.experts = 8;
  CHECK(differences(run, given) == "model.experts: the run has 4, this node was given 8");
  given.optimizer.name = "sgd";
  given.model.router.losses[0].coefficient = 0.5; // a list of the same length
  CHECK(differences(run, given)
        == "model.experts: the run has 4, this node was given 8; model.router.losses[0].coefficient: the run "
           "has 0.01, this node was given 0.5; optimizer.name: the run has \"adam\", this node was given "
           "\"sgd\"");
  given.intra_op_threads = 2;
  given.schedule.evaluate_at_end = false;
  CHECK_THAT(differences(run, given), EndsWith("this node was given \"sgd\"; and 2 more"));
  given = run;
  given.model.router.losses = {};
  CHECK(differences(run, given)
        == "model.router.losses: the run has [{\"name\":\"switch\",\"coefficient\":0.01}], this node was "
           "given []");
  given = run;
  given.data.name = std::string(1000, 'x');
  CHECK(differences(run, given).size() < 300);
}

TEST_CASE("a configuration with unknown keys or wrong types is refused by name", "[unit]") {
  const auto problem = [](const std::string& text) {
    const auto result = configuration_from_json(text);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == error_code::malformed);
    return result.error().text;
  };
  CHECK_THAT(problem(R"({"modle": {}})"),
             ContainsSubstring("modle: got an unknown key") && ContainsSubstring("model"));
  CHECK_THAT(problem(R"({"model": {"router": {"nmae": "x"}}})"),
             ContainsSubstring("model.router.nmae: got an unknown key"));
  CHECK_THAT(problem(R"({"model": {"experts": "four"}})"),
             ContainsSubstring(R"(model.experts: got "four", limit a whole number)"));
  CHECK_THAT(problem(R"({"model": {"experts": -1}})"), ContainsSubstring("model.experts: got -1"));
  CHECK_THAT(problem(R"({"model": {"experts": 4.5}})"), ContainsSubstring("model.experts: got 4.5"));
  CHECK_THAT(problem(R"({"model": {"experts": 4294967296}})"),
             ContainsSubstring("limit a whole number from 0 to 4294967295"));
  CHECK_THAT(problem(R"({"model": {"expert_bias": 1}})"),
             ContainsSubstring("model.expert_bias: got 1, limit true or false"));
  CHECK_THAT(problem(R"({"optimizer": {"learning_rate": null}})"),
             ContainsSubstring("learning_rate: got null, limit a number"));
  CHECK_THAT(problem(R"({"model": {"router": {"losses": [{"name": 3}]}}})"),
             ContainsSubstring("losses[0].name: got 3"));
  CHECK_THAT(problem(R"({"data": []})"), ContainsSubstring("data: got [], limit an object"));
  CHECK_THAT(problem(R"({"data": {}, "data": {}})"), ContainsSubstring("key 'data': got it twice"));
  CHECK_THAT(problem(R"([1])"), ContainsSubstring("limit an object"));
  CHECK(problem(R"({"data": )")
        == "[configuration] byte 9: got the end, limit one whole JSON value; it was cut");
  CHECK(problem(R"({"data"; {}})")
        == "[configuration] byte 8: got what is no JSON in UTF-8, limit one whole JSON value; it was altered "
           "or damaged");
  CHECK(problem(R"({"optimizer": {"learning_rate": 1e999}})")
        == "[configuration] number overflow parsing '1e999'");
  CHECK_THAT(problem(std::string(100, '[')), ContainsSubstring("nesting"));
}

TEST_CASE("the default configuration and the reference shapes are valid", "[unit]") {
  CHECK(validate(configuration{}, run_options{}).has_value());
  configuration awkward;
  awkward.model.experts = 7;
  awkward.model.expert_hidden_size = 50;
  awkward.model.expert_activation = "silu";
  awkward.model.router.experts_per_token = 3;
  awkward.schedule.num_microbatches = 4;
  awkward.schedule.lanes = 3;
  awkward.optimizer.clip_norm = 1;
  CHECK(validate(awkward, {3, 3, 4, 2}).has_value());
  configuration collapsing;
  collapsing.model.router.experts_per_token = 1;
  collapsing.model.router.renormalise = false;
  CHECK(validate(collapsing).has_value());
  configuration single;
  single.model.experts = 1;
  single.model.router.experts_per_token = 1;
  CHECK(validate(single).has_value());
}

TEST_CASE(
  "the importance of every router with logits can be measured, and trained unless it balances by itself",
  "[unit]") {
  const auto with = [](const std::string& router, std::uint32_t k, double coefficient) {
    configuration config;
    config.model.router.name = router;
    config.model.router.experts_per_token = k;
    config.model.router.groups = config.model.router.groups_kept = 1;
    config.model.router.losses = {{"importance", coefficient}};
    return validate(config, run_options{}).has_value();
  };
  for (const auto* router :
       {"softmax", "softmax_post", "sigmoid_bias", "group_limited", "noisy_top_k", "gshard"}) {
    INFO(router);
    CHECK(with(router, 2, 1));
  }
  CHECK(with("switch", 1, 1));
  CHECK(with("dense", 4, 1));
  for (const auto* router : {"sinkhorn", "expert_choice", "quantile"}) {
    INFO(router);
    CHECK(with(router, 2, 0));
    CHECK_FALSE(with(router, 2, 1));
  }
}

TEST_CASE("impossible configurations are refused with the option, what was got and what is allowed",
          "[unit]") {
  for (const auto& row : bad_rows) {
    configuration config;
    run_options options;
    row.change(config, options);
    const auto result = validate(config, options);
    INFO(row.flag << " " << row.says);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == error_code::usage);
    CHECK_THAT(result.error().text,
               StartsWith(row.flag) && ContainsSubstring(row.says) && ContainsSubstring("limit"));
    CHECK(result.error().text.find('\n') == std::string::npos);
  }
}

TEST_CASE("names that a program adds are valid, and cannot take a standard name", "[unit]") {
  configuration config;
  config.model.expert_kind = "linear";
  config.model.router.name = "first";
  config.data.name = "spiral";
  extensions more;
  more.experts["linear"];
  more.routers["first"];
  more.data_sets["spiral"];
  CHECK_FALSE(validate(config).has_value());
  CHECK(validate(config, more).has_value());
  more.routers["softmax"];
  CHECK_THAT(validate(config, more).error().text, ContainsSubstring("router named 'softmax'"));
}
