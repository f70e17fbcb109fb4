#include "launcher/command_line.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace troupe;
using namespace troupe::launcher;

namespace {

template <class Options>
Options read(const std::vector<std::string>& words) {
  const auto result = read_command_line(words);
  INFO((result ? std::string() : result.error().text));
  REQUIRE(result);
  REQUIRE(std::holds_alternative<Options>(*result));
  return std::get<Options>(*result);
}

train_options train(std::vector<std::string> words) {
  words.insert(words.begin(), "train");
  return read<train_options>(words);
}

} // namespace

TEST_CASE("without a flag everything is as documented", "[unit]") {
  const auto options = train({});
  CHECK(options.config == configuration{});
  CHECK(options.run == run_options{});
  CHECK(options.config.data.name == "fashion-mnist");
  CHECK(options.config.schedule.batch_size == 64);
  CHECK(options.config.schedule.epochs == 1);
  CHECK(options.config.optimizer.learning_rate == 2e-3);
  CHECK(options.config.model.router.losses == std::vector<loss_option>{{"switch", 0.01}});
  CHECK(options.log_interval == 100);
}

TEST_CASE("flags of data and schedule set their options", "[unit]") {
  const auto options = train({"--data",
                              "gaussian",
                              "--data-dir",
                              "d",
                              "--gaussian-rows",
                              "100",
                              "--gaussian-width",
                              "16",
                              "--gaussian-classes",
                              "3",
                              "--batch-size",
                              "64",
                              "--num-microbatches",
                              "8",
                              "--lanes",
                              "4",
                              "--epochs",
                              "3",
                              "--max-steps",
                              "17",
                              "--seed",
                              "9",
                              "--eval-interval",
                              "2",
                              "--no-eval"});
  configuration expected;
  expected.data = {"gaussian", "d", 100, 16, 3};
  expected.schedule.batch_size = 64;
  expected.schedule.num_microbatches = 8;
  expected.schedule.lanes = 4;
  expected.schedule.epochs = 3;
  expected.schedule.max_steps = 17;
  expected.schedule.seed = 9;
  expected.schedule.eval_interval_epochs = 2;
  expected.schedule.evaluate_at_end = false;
  CHECK(options.config == expected);
}

TEST_CASE("flags of the model set their options", "[unit]") {
  const auto options = train({"--num-experts",
                              "7",
                              "--num-experts-per-token",
                              "3",
                              "--no-renormalise",
                              "--router",
                              "sigmoid_bias",
                              "--expert-hidden-size",
                              "50",
                              "--expert-activation",
                              "silu",
                              "--no-expert-bias",
                              "--num-shared-experts",
                              "2",
                              "--shared-expert-hidden-size",
                              "60",
                              "--shared-expert-gate",
                              "--router-aux-loss-coef",
                              "0.5",
                              "--router-z-loss-coef",
                              "0.25",
                              "--precision",
                              "f64",
                              "--intra-op-threads",
                              "2"});
  configuration expected;
  expected.model.experts = 7;
  expected.model.expert_hidden_size = 50;
  expected.model.expert_activation = "silu";
  expected.model.expert_bias = false;
  expected.model.shared_experts = 2;
  expected.model.shared_expert_hidden_size = 60;
  expected.model.shared_expert_gate = true;
  expected.model.precision = "f64";
  expected.model.router.name = "sigmoid_bias";
  expected.model.router.experts_per_token = 3;
  expected.model.router.renormalise = false;
  expected.model.router.losses = {{"switch", 0.5}, {"z", 0.25}};
  expected.intra_op_threads = 2;
  CHECK(options.config == expected);
}

TEST_CASE("flags of the optimizer set their options", "[unit]") {
  const auto options = train({"--optimizer",    "sgd",  "--lr",        "0.1",  "--lr-schedule", "cosine",
                              "--warmup-steps", "5",    "--min-lr",    "0.01", "--momentum",    "0.9",
                              "--beta1",        "0.8",  "--beta2",     "0.7",  "--epsilon",     "1e-6",
                              "--weight-decay", "0.02", "--clip-norm", "1.5",  "--clip-scope",  "local"});
  configuration expected;
  expected.optimizer = {"sgd", 0.1, "cosine", 5, 0.01, 0.9, 0.8, 0.7, 1e-6, 0.02, 1.5, "local"};
  CHECK(options.config == expected);
}

TEST_CASE("how a run is carried out is no part of its configuration", "[unit]") {
  const auto options = train({"--nodes",
                              "3",
                              "--num-microbatches",
                              "4",
                              "--lanes",
                              "4",
                              "--data-parallel-size",
                              "2",
                              "--in-flight",
                              "4",
                              "--compute-threads",
                              "2",
                              "--wait-policy",
                              "passive",
                              "--message-delay-ms",
                              "7",
                              "--listen",
                              "127.0.0.1:4040",
                              "--run-id",
                              "r",
                              "--save",
                              "s",
                              "--metrics-file",
                              "m",
                              "--print-digest",
                              "--log-interval",
                              "10"});
  CHECK(options.run == run_options{3, 2, 4, 2, "passive", 7});
  CHECK(options.listen == "127.0.0.1:4040");
  CHECK(options.run_id == "r");
  CHECK(options.save == "s");
  CHECK(options.metrics_file == "m");
  CHECK(options.print_digest);
  CHECK(options.log_interval == 10);
  const auto plain = train({"--num-microbatches", "4", "--lanes", "4"});
  CHECK(hash_of(options.config) == hash_of(plain.config));
}

TEST_CASE("a loss without weight is left out", "[unit]") {
  CHECK(train({"--router-aux-loss-coef", "0"}).config.model.router.losses.empty());
}

TEST_CASE("the last of several equal flags counts, and zeros in front mean nothing", "[unit]") {
  CHECK(train({"--seed", "1", "--seed=012"}).config.schedule.seed == 12);
}

TEST_CASE("a switch may say that it is off", "[unit]") {
  CHECK(train({"--print-digest"}).print_digest);
  CHECK_FALSE(train({"--print-digest=false"}).print_digest);
  CHECK(train({"--no-expert-bias=false"}).config.model.expert_bias);
  CHECK_FALSE(train({"--expert-bias=off"}).config.model.expert_bias);
}

TEST_CASE("names that only a node program of one's own knows are left to it", "[unit]") {
  CHECK_FALSE(read_command_line({"train", "--expert", "mine"}));
  CHECK(train({"--expert", "mine", "--node-program", "p"}).config.model.expert_kind == "mine");
  CHECK_FALSE(read_command_line({"train", "--expert", "mine", "--node-program", "p", "--num-experts", "0"}));
}

TEST_CASE("the other commands have their options", "[unit]") {
  const auto eval = read<eval_options>(
    {"eval", "--model", "m", "--nodes", "2", "--data", "gaussian", "--predictions", "p"});
  CHECK(eval.model == "m");
  CHECK(eval.run.nodes == 2);
  CHECK(eval.data == "gaussian");
  CHECK(eval.predictions == "p");
  const auto node = read<node_options>(
    {"node", "--join", "h:1", "--name", "n", "--run-id", "r", "--compute-threads", "2", "--insecure"});
  CHECK(node.join == "h:1");
  CHECK(node.name == "n");
  CHECK(node.run_id == "r");
  CHECK(node.compute_threads == 2);
  CHECK(node.wait_policy == "active");
  CHECK_FALSE(read_command_line({"node", "--join", "localhost:1", "--wait-policy", "spin"}));
  CHECK_FALSE(read_command_line({"node", "--join", "localhost:1", "--compute-threads", "5000"}));
  CHECK(read<node_options>({"node", "--join", "localhost:1"}).name.empty()); // the head gives it one
  CHECK(read<status_command>({"status", "h:1", "--json"}).options.json);
  const auto drain = read<drain_command>({"drain", "node-2", "--head", "h:1"});
  CHECK(drain.options.node == "node-2");
  CHECK(drain.options.head == "h:1");
}

TEST_CASE("a slow node is an index and a factor", "[unit]") {
  CHECK(parse_slow_node("", 0)->index == 0);
  CHECK(parse_slow_node("2:5", 2)->index == 2);
  CHECK(parse_slow_node("2:5", 2)->factor == "5");
  for (const char* text : {"3:5", "0:5", "1", "1:", "1:0.5", "x"}) CHECK_FALSE(parse_slow_node(text, 2));
}
