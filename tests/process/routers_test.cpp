#include "tests/process/runs.hpp"

#include "model/checkpoint/model_directory.hpp"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

using namespace troupe::test;
using Catch::Approx;
using namespace std::chrono_literals;
using words = std::vector<std::string>;

namespace {

words joined(words a, const words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// The awkward shape without losses, which some routers refuse; 3 experts per row.
words routed(const words& more, int steps = 40) {
  return awkward_run(joined({"--router-z-loss-coef", "0"}, more), steps);
}

finished_process finished(const words& command) {
  auto done = run(command, std::chrono::minutes(2));
  INFO(done.output << done.errors);
  REQUIRE(done.status.success());
  return done;
}

double accuracy_in(const std::string& output) {
  const auto at = output.rfind("Test accuracy: ");
  REQUIRE(at != std::string::npos);
  return std::stod(output.substr(at + 15));
}

/// Mean, and what deviates from it.
double load_cv(const std::vector<std::uint64_t>& rows) {
  const auto count = static_cast<double>(rows.size());
  const auto mean = std::accumulate(rows.begin(), rows.end(), 0.0) / count;
  double square = 0;
  for (const auto n : rows) square += (static_cast<double>(n) - mean) * (static_cast<double>(n) - mean);
  return std::sqrt(square / count) / mean;
}

} // namespace

TEST_CASE("every router gives the same weights in one process and on three nodes with three replicas",
          "[process]") {
  const auto options = GENERATE(
    words{"softmax"}, words{"softmax", "--no-renormalise"}, words{"softmax_post"},
    words{"switch", "--num-experts-per-token", "1"},
    words{"sigmoid_bias", "--router-bias-update-rate", "0.01"},
    words{"sigmoid_bias", "--router-loss", "sequence=0.01", "--sequence-length", "5"},
    words{"group_limited", "--num-experts", "12", "--router-groups", "4", "--router-groups-kept", "2"},
    words{"group_limited", "--num-experts", "8", "--router-base", "softmax"}, words{"noisy_top_k"},
    words{"gshard", "--num-experts-per-token", "2"}, words{"sinkhorn"}, words{"expert_choice"},
    words{"hash", "--num-experts-per-token", "1"}, words{"task", "--num-experts-per-token", "1"},
    words{"dense", "--num-experts-per-token", "7"}, words{"quantile"});
  CAPTURE(options);
  const auto here = digest_of_run(routed(joined({"--router"}, options)));
  const auto spread = joined(joined({"--router"}, options),
                             {"--nodes", "3", "--data-parallel-size", "3", "--in-flight", "4"});
  REQUIRE(digest_of_run(routed(spread)) == here);
}

TEST_CASE("capacity and shared experts give the same weights in one process and on three nodes",
          "[process]") {
  const auto options = GENERATE(
    words{"--capacity-policy", "probs", "--capacity-factor", "0.8"},
    words{"--capacity-policy", "choice_major", "--capacity-factor", "1", "--renormalise-after-drop"},
    words{"--capacity-policy", "random", "--capacity-factor", "1"}, words{"--num-shared-experts", "1"},
    words{"--num-shared-experts", "2", "--shared-expert-gate", "--router-loss", "variance=0.1,hf=0.01"});
  CAPTURE(options);
  const auto here = digest_of_run(routed(options));
  REQUIRE(here != digest_of_run(routed({})));
  REQUIRE(digest_of_run(routed(joined(options, {"--nodes", "3", "--data-parallel-size", "3"}))) == here);
}

TEST_CASE("a shared expert is handed over like any other and changes no bit", "[process]") {
  const words shared = {"--num-shared-experts", "1", "--shared-expert-gate", "--message-delay-ms", "4"};
  temporary_directory place;
  auto run = process::start(awkward_run(
    joined(shared, {"--nodes", "2", "--listen", "127.0.0.1:0", "--metrics-file", place / "metrics"}), 400));
  const auto address = address_of_run(run);
  REQUIRE(run.wait_for_output("Step 20 ", 60s));
  const std::string host = number_of_node(address, "node-2") == 2 ? "node-2" : "node-1"; // of owners 4 to 7
  const auto other = process_of_node(run, host == "node-2" ? "node-1" : "node-2");
  REQUIRE(other != 0);
  std::optional<paused> pause(other); // however slow the machine, it drains in the middle
  const auto drain = troupe::test::run({program("troupe"), "drain", host, "--head", address}, 60s);
  INFO(drain.output << drain.errors);
  REQUIRE(drain.status.success());
  pause.reset();
  const auto end = run.wait(120s);
  INFO(run.output() << run.errors());
  REQUIRE(end);
  REQUIRE(end->success());
  REQUIRE(digest_in(run.output()) == digest_of_run(awkward_run(shared, 400)));
  std::vector<std::vector<int>> placements;
  for (auto& line : read_metrics(place / "metrics"))
    if (line.contains("placement")) placements.push_back(line["placement"].get<std::vector<int>>());
  REQUIRE(placements.front().size() == 8); // seven routed experts and the shared one
  REQUIRE(placements.front().back() == 2);
  REQUIRE(placements.back() == std::vector<int>(8, 1));
}

TEST_CASE("the selection bias moves once a step, against the loads of all replicas before dropping",
          "[process]") {
  temporary_directory place;
  finished(routed({"--router", "sigmoid-bias", "--router-bias-update-rate", "0.125", "--capacity-policy",
                   "probs", "--capacity-factor", "0.5", "--nodes", "2", "--data-parallel-size", "3",
                   "--metrics-file", place / "metrics", "--save", place / "model"},
                  1));
  const auto metrics = read_metrics(place / "metrics");
  const auto loads = metrics.front()["layers"][0]["expert_rows"].get<std::vector<std::uint64_t>>();
  const auto all = std::accumulate(loads.begin(), loads.end(), std::uint64_t{0});
  REQUIRE(all == 22 * 3); // the whole batch, before dropping
  REQUIRE(metrics.front()["layers"][0]["dropped"] > 0.2);
  const auto dense = troupe::model_directory::open(place / "model")
                       ->read({0, troupe::owner_id::dense_part, 0});
  REQUIRE(dense);
  const auto bias = std::ranges::find(dense->values, "router.bias", &troupe::named_tensor::name);
  REQUIRE(bias != dense->values.end());
  for (std::size_t e = 0; e < 7; ++e) {
    const auto expected = 7 * loads[e] < all ? 0.125f : 7 * loads[e] > all ? -0.125f : 0.0f;
    CHECK(bias->value.as<float>()[e] == expected);
  }
}

TEST_CASE("a saved model routes in evaluations as it did at the end of its training", "[process]") {
  const auto options = GENERATE(words{"--router", "sigmoid_bias"}, words{"--router", "hash"},
                                words{"--router", "task"}, words{"--router", "quantile"},
                                words{"--num-shared-experts", "2", "--shared-expert-gate"});
  CAPTURE(options);
  temporary_directory place;
  const auto trained = finished(joined({program("troupe"), "train", "--data", "gaussian", "--max-steps", "60",
                                        "--num-experts", "5", "--save", place / "model"},
                                       options));
  const auto again = finished({program("troupe"), "eval", "--model", place / "model", "--nodes", "2"});
  CHECK(accuracy_in(again.output) == accuracy_in(trained.output));
}

TEST_CASE("the metrics tell the health of each layer's routing", "[process]") {
  temporary_directory place;
  finished({program("troupe"),
            "train",
            "--data",
            "gaussian",
            "--max-steps",
            "3",
            "--num-experts",
            "5",
            "--num-experts-per-token",
            "3",
            "--router-loss",
            "z=0.5,hf=0,variance=0.25,importance=0.125",
            "--capacity-policy",
            "probs",
            "--capacity-factor",
            "1",
            "--num-shared-experts",
            "1",
            "--metrics-file",
            place / "metrics"});
  const auto lines = read_metrics(place / "metrics");
  for (std::size_t step = 0; step < 3; ++step) {
    const auto& layer = lines.at(step)["layers"][0];
    const auto rows = layer["expert_rows"].get<std::vector<std::uint64_t>>();
    REQUIRE(rows.size() == 5); // without the shared expert
    const auto [least, most] = std::ranges::minmax(rows);
    const auto mean = 64 * 3 / 5.0;
    CHECK(layer["load_max_over_mean"] == Approx(static_cast<double>(most) / mean));
    CHECK(layer["load_min_over_mean"] == Approx(static_cast<double>(least) / mean));
    CHECK(layer["balancedness"] == Approx(mean / static_cast<double>(most)));
    CHECK(layer["load_cv_population"] == Approx(load_cv(rows)));
    double entropy = 0;
    for (const auto n : rows)
      if (n > 0) entropy -= static_cast<double>(n) / 192 * std::log(static_cast<double>(n) / 192);
    CHECK(layer["load_entropy_nats"] == Approx(entropy));
    CHECK(layer["dead_experts"] == std::ranges::count(rows, 0u));
    double dropped = 0; // places: 64 * 3 / 5, rounded up
    for (const auto n : rows) dropped += std::max(0.0, static_cast<double>(n) - 39);
    CHECK(layer["dropped"] == Approx(dropped / 192));
    CHECK(layer["router_entropy_nats"] > 0);
    CHECK(layer["router_entropy_nats"] <= Approx(std::log(5.0)));
    CHECK(layer["mean_gate"] > 0.2);
    CHECK(layer["mean_gate"] < 0.5); // three gates that sum to 1, some dropped
  }
  const auto& losses = lines.front()["layers"][0]["losses"];
  const std::map<std::string, std::pair<double, double>> expected = {
    {"switch", {0.01, 1}},
    {"hf", {0, 3}},
    {"variance", {0.25, 0}},
    {"importance", {0.125, 0}},
    {"z", {0.5, std::pow(std::log(5.0), 2)}}};
  REQUIRE(losses.size() == expected.size());
  for (const auto& [name, coefficient_and_balance] : expected) {
    CAPTURE(name);
    const auto& loss = losses[name];
    CHECK(loss["coefficient"] == coefficient_and_balance.first);
    CHECK(loss["at_balance"] == Approx(coefficient_and_balance.second));
    CHECK(loss["scaled"] == Approx(loss["value"].get<double>() * coefficient_and_balance.first));
  }
  CHECK(losses["hf"]["value"] == Approx(3 * losses["switch"]["value"].get<double>())); // one layer: k times
}

TEST_CASE("what is allowed but probably not meant is said when the run starts", "[process]") {
  const auto done = finished({program("troupe"), "train", "--data", "gaussian", "--max-steps", "2",
                              "--router", "sigmoid_bias", "--num-experts-per-token", "1"});
  CHECK((done.output + done.errors).find("too slow to prevent a collapse") != std::string::npos);
}

TEST_CASE("impossible router options end with code 2 and one line that names the flag and the reason",
          "[process]") {
  struct row {
    words options;
    std::string flag, reason;
  };
  const auto [options, flag, reason] = GENERATE(
    row{{"--router", "topk"}, "--router: got 'topk'", "softmax | softmax_post"},
    row{{"--router-aux-loss-coef", "-1"}, "--router-aux-loss-coef: got -1", "from 0 up"},
    row{{"--router-z-loss-coef", "nan"}, "--router-z-loss-coef: got 'nan'", "a finite number"},
    row{{"--router-loss", "variance=nan"}, "--router-loss variance: got nan", "from 0 up"},
    row{{"--router-loss", "variance"}, "--router-loss: got 'variance'", "NAME=COEF"},
    row{{"--capacity-policy", "probs", "--capacity-factor", "0"}, "--capacity-factor: got 0", "above 0"},
    row{{"--capacity-policy", "drop"}, "--capacity-policy: got 'drop'", "none | probs"},
    row{{"--router", "group_limited", "--router-groups", "3"}, "--router-groups: got 3", "a divisor of 4"},
    row{{"--router", "group_limited", "--router-groups", "2", "--router-groups-kept", "3"},
        "--router-groups-kept: got 3",
        "1 to 2"},
    row{{"--router", "group_limited", "--num-experts-per-token", "3", "--router-groups", "4",
         "--router-groups-kept", "2"},
        "--num-experts-per-token: got 3",
        "experts in the groups kept"},
    row{{"--router", "softmax", "--num-experts-per-token", "1"},
        "--num-experts-per-token: got 1",
        "could not train the router"},
    row{{"--router", "switch", "--num-experts-per-token", "2"}, "--num-experts-per-token: got 2", "limit 1"},
    row{{"--router", "dense", "--num-experts-per-token", "2"}, "--num-experts-per-token: got 2", "limit 4"},
    row{{"--router", "sinkhorn", "--router-aux-loss-coef", "0.01"},
        "--router-aux-loss-coef: got 0.01",
        "balances the load by itself"},
    row{{"--router", "hash", "--router-z-loss-coef", "0.01"}, "--router-z-loss-coef: got 0.01", "no logits"},
    row{{"--router-loss", "sequence=0.1"},
        "--router-loss sequence: got 0.1 with --sequence-length 0",
        "every so many rows"},
    row{{"--router-loss", "load=0.1"}, "--router-loss load: got 0.1", "noisy_top_k"},
    row{{"--router", "expert_choice", "--capacity-policy", "probs"},
        "--capacity-policy: got probs",
        "--router-choice-capacity-factor"},
    row{{"--router", "hash", "--capacity-policy", "bpr"}, "--capacity-policy: got bpr", "no logits"},
    row{{"--renormalise-after-drop"}, "--renormalise-after-drop", "a policy that drops"},
    row{{"--shared-expert-gate"}, "--shared-expert-gate", "--num-shared-experts"});
  CAPTURE(options);
  const auto done = run(joined({program("troupe"), "train", "--data", "gaussian"}, options),
                        std::chrono::seconds(30));
  CAPTURE(done.errors);
  CHECK(done.status.code == 2);
  CHECK(std::ranges::count(done.errors, '\n') == 1);
  CHECK(done.errors.starts_with("troupe: error: " + flag));
  CHECK(done.errors.find(reason) != std::string::npos);
}
