#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>

#include <algorithm>
#include <cmath>

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

namespace {

/// Test accuracy of plain PyTorch at the end: bench/reference_train.py --num-experts E --seed S --epochs N.
struct reference {
  int experts, seed;
  double after_1, after_5;
};

constexpr reference pytorch[] = {
  {4, 0, 0.8549, 0.8821}, {4, 1, 0.8561, 0.8821}, {4, 2, 0.8557, 0.8844},
  {8, 0, 0.8560, 0.8857}, {8, 1, 0.8558, 0.8849}, {8, 2, 0.8568, 0.8833},
};

double accuracy_after(const reference& r, int epochs) {
  const auto found = accuracies(
    train({"--num-experts", std::to_string(r.experts), "--num-experts-per-token", "2", "--seed",
           std::to_string(r.seed), "--epochs", std::to_string(epochs)}));
  REQUIRE(found.size() == 1);
  return found.front();
}

} // namespace

TEST_CASE("it learns FashionMNIST to its known accuracy, which is PyTorch's", "[process][learning]") {
  const auto r = GENERATE(from_range(pytorch));
  CAPTURE(r.experts, r.seed);
  const auto early = accuracy_after(r, 1);
  REQUIRE(early >= 0.83);
  REQUIRE(std::abs(early - r.after_1) <= 0.005);
  const auto late = accuracy_after(r, 5);
  REQUIRE(late >= 0.865);
  REQUIRE(std::abs(late - r.after_5) <= 0.005);
}

namespace {

/// What two epochs of top-1 routing, with gates that are not renormalised, do to the experts.
struct top_1_run {
  bool warned = false;
  std::ptrdiff_t unused = 0;  ///< experts without a row of the test data
  std::uint64_t starving = 0; ///< steps in a row in which one expert got no row, at most
};

top_1_run train_top_1(const std::string& coefficient, int seed) {
  finished_process how;
  const auto metrics = train({"--router", "switch", "--num-experts", "8", "--num-experts-per-token", "1",
                              "--epochs", "2", "--router-aux-loss-coef", coefficient, "--seed",
                              std::to_string(seed)},
                             &how);
  top_1_run result;
  result.warned = (how.output + how.errors).find("routing collapses") != std::string::npos;
  std::vector<std::uint64_t> without(8);
  for (auto& line : metrics) {
    const auto rows = line["expert_rows"][0].get<std::vector<std::uint64_t>>();
    if (line["event"] == "evaluation") result.unused = std::ranges::count(rows, 0u);
    if (line["event"] != "step") continue;
    for (std::size_t e = 0; e < rows.size(); ++e) {
      without[e] = rows[e] == 0 ? without[e] + 1 : 0;
      result.starving = std::max(result.starving, without[e]);
    }
  }
  return result;
}

} // namespace

TEST_CASE("top-1 routing collapses with a weak balance loss and says so, not with a strong one",
          "[process][learning]") {
  const auto seed = GENERATE(0, 1, 2);
  CAPTURE(seed);
  const auto weak = train_top_1("0.01", seed);
  REQUIRE(weak.warned);
  REQUIRE(weak.unused >= 1);
  REQUIRE(weak.starving >= 400);
  const auto strong = train_top_1("0.1", seed);
  REQUIRE_FALSE(strong.warned);
  REQUIRE(strong.unused == 0);
  REQUIRE(strong.starving <= 100);
}
