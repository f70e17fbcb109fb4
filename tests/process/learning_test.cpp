#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

/// Trains FashionMNIST and returns the metrics.
std::vector<nlohmann::json> train(std::vector<std::string> more, finished_process* how = nullptr) {
  temporary_directory place;
  std::vector<std::string> command{program("troupe"), "train", "--data", "fashion-mnist", "--expert-hidden-size", "64",
                                   "--metrics-file", place / "metrics", "--log-interval", "0"};
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
  const auto found = accuracies(train({"--num-experts", std::to_string(experts), "--num-experts-per-token", "2", "--seed",
                                       std::to_string(seed), "--epochs", "5", "--eval-interval", "1"}));
  REQUIRE(found.size() == 5);
  REQUIRE(found.front() >= 0.83);
  REQUIRE(found.back() >= 0.865);
}

TEST_CASE("top-1 routing collapses with a weak balance loss and not with a strong one", "[process][learning]") {
  const auto dead_at_the_end = [](const std::vector<nlohmann::json>& metrics) {
    int dead = -1;
    for (auto& line : metrics)
      if (line["event"] == "step") dead = line["layers"][0]["dead_experts"];
    return dead;
  };
  std::vector<std::string> top_1{"--router", "switch", "--num-experts", "8", "--num-experts-per-token", "1", "--epochs", "2"};
  auto weak = top_1;
  weak.insert(weak.end(), {"--router-aux-loss-coef", "0.01"});
  finished_process how;
  REQUIRE(dead_at_the_end(train(weak, &how)) > 0);
  REQUIRE((how.output + how.errors).find("routing collapses") != std::string::npos);
  auto strong = top_1;
  strong.insert(strong.end(), {"--router-aux-loss-coef", "0.1"});
  REQUIRE(dead_at_the_end(train(strong)) == 0);
}
