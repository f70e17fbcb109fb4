#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>

using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

/// Trains FashionMNIST and returns the metrics.
std::vector<nlohmann::json> train(std::vector<std::string> more, finished_process* how = nullptr) {
  temporary_directory place;
  std::vector<std::string> command{program("troupe"),      "train", "--data",         "fashion-mnist",
                                   "--expert-hidden-size", "64",    "--metrics-file", place / "metrics",
                                   "--log-interval",       "0"};
  command.insert(command.end(), more.begin(), more.end());
  auto done = run(command, 300s);
  INFO(done.output << done.errors);
  REQUIRE(done.status.success());
  auto metrics = read_metrics(place / "metrics");
  if (how != nullptr) *how = std::move(done);
  return metrics;
}

/// Accuracy of each evaluation, in order.
std::vector<double> accuracies(const std::vector<nlohmann::json>& metrics) {
  std::vector<double> result;
  for (auto& line : metrics)
    if (line["event"] == "evaluation") result.push_back(line["accuracy"]);
  return result;
}

} // namespace

TEST_CASE("it learns FashionMNIST to its known accuracy", "[process][learning]") {
  const auto experts = GENERATE(4, 8);
  const auto seed = GENERATE(0, 1, 2);
  CAPTURE(experts, seed);
  const auto found = accuracies(
    train({"--num-experts", std::to_string(experts), "--num-experts-per-token", "2", "--seed",
           std::to_string(seed), "--epochs", "5", "--eval-interval", "1"}));
  REQUIRE(found.size() == 5);
  REQUIRE(found.front() >= 0.83);
  REQUIRE(found.back() >= 0.865);
}

namespace {

/// Rows per expert over the test data, after two epochs of top-1 routing with gates that are not
/// renormalised.
std::vector<std::uint64_t> top_1_load(const std::string& coefficient, finished_process* how = nullptr) {
  const auto metrics = train({"--router", "switch", "--num-experts", "8", "--num-experts-per-token", "1",
                              "--epochs", "2", "--router-aux-loss-coef", coefficient},
                             how);
  return metrics.back()["expert_rows"][0].get<std::vector<std::uint64_t>>();
}

} // namespace

TEST_CASE("top-1 routing collapses with a weak balance loss, less with a stronger one, not with a strong one",
          "[process][learning]") {
  finished_process how;
  const auto weak = top_1_load("0.01", &how);
  REQUIRE(std::ranges::count(weak, 0u) >= 4);
  REQUIRE((how.output + how.errors).find("routing collapses") != std::string::npos);
  const auto stronger = top_1_load("0.1"); // plain PyTorch keeps 3 to 5 dead experts here too
                                           // (bench/reference_train.py)
  REQUIRE(std::ranges::count(stronger, 0u) < std::ranges::count(weak, 0u));
  REQUIRE(*std::ranges::max_element(stronger) < *std::ranges::max_element(weak));
  const auto strong = top_1_load("0.3");
  REQUIRE(std::ranges::count(strong, 0u) == 0);
}
