#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>

using namespace troupe::test;
using words = std::vector<std::string>;

namespace {

/// What three epochs of FashionMNIST with four experts and everything else as it comes ended in.
struct outcome {
  double accuracy = 0;
  double dropped = 0;              ///< of the last 100 steps, mean
  double load_max_over_mean = 0;   ///< of the whole test data
  double router_entropy_first = 0; ///< of the first step
  double router_entropy_last = 0;  ///< of the last 100 steps, mean
  std::uint64_t dead = 0;          ///< experts without a row of the test data
};

double mean_of_last(const std::vector<nlohmann::json>& steps, const char* field) {
  double sum = 0;
  for (std::size_t i = steps.size() - 100; i < steps.size(); ++i)
    sum += steps[i]["layers"][0].value(field, 0.0);
  return sum / 100;
}

outcome train(const words& router) {
  temporary_directory place;
  words command{program("troupe"), "train", "--data",         "fashion-mnist",   "--epochs", "3",
                "--log-interval",  "0",     "--metrics-file", place / "metrics", "--router"};
  command.insert(command.end(), router.begin(), router.end());
  const auto done = run(command, std::chrono::minutes(3));
  INFO(done.output << done.errors);
  REQUIRE(done.status.success());
  auto lines = read_metrics(place / "metrics");
  const auto evaluation = lines.back();
  std::erase_if(lines, [](auto& line) { return line["event"] != "step"; });
  const auto rows = evaluation["expert_rows"][0].get<std::vector<std::uint64_t>>();
  std::uint64_t all = 0;
  for (const auto n : rows) all += n;
  outcome out;
  out.accuracy = evaluation["accuracy"];
  out.dropped = mean_of_last(lines, "dropped");
  out.load_max_over_mean = static_cast<double>(std::ranges::max(rows)) * static_cast<double>(rows.size())
                           / static_cast<double>(all);
  out.router_entropy_first = lines.front()["layers"][0].value("router_entropy_nats", 0.0);
  out.router_entropy_last = mean_of_last(lines, "router_entropy_nats");
  out.dead = static_cast<std::uint64_t>(std::ranges::count(rows, 0u));
  return out;
}

} // namespace

TEST_CASE("every router learns FashionMNIST in three epochs and keeps its experts busy",
          "[process][learning]") {
  struct row {
    words router;
    double load; ///< of the fullest expert over the mean, at most
  };
  // Each expert of hash sees a random quarter of the rows: it takes longer steps.
  const auto [router, load] = GENERATE(row{{"softmax"}, 2}, row{{"softmax_post"}, 2}, row{{"switch"}, 1.5},
                                       row{{"sigmoid_bias"}, 1.2}, row{{"group_limited"}, 1.2},
                                       row{{"noisy_top_k"}, 1.3}, row{{"gshard"}, 2}, row{{"sinkhorn"}, 1.5},
                                       row{{"expert_choice"}, 1.001}, row{{"task"}, 1.201}, row{{"dense"}, 1},
                                       row{{"quantile"}, 1.5}, row{{"hash", "--lr", "3e-3"}, 1.1});
  CAPTURE(router);
  const auto done = train(router);
  CHECK(done.accuracy >= 0.85);
  CHECK(done.load_max_over_mean <= load);
  CHECK(done.dead == 0);
  CHECK(done.dropped == 0);
  if (router.front() != "task" && router.front() != "hash") {    // which have no logits
    CHECK(done.router_entropy_last < done.router_entropy_first); // it learns to decide
    CHECK(done.router_entropy_last > 0);
  }
}

TEST_CASE("hash routing falls short because nothing is learned of where rows go", "[process][learning]") {
  const auto done = train({"hash"});
  CHECK(done.accuracy >= 0.83);
  CHECK(done.accuracy < train({"sigmoid_bias"}).accuracy - 0.015);
  CHECK(done.load_max_over_mean < 1.1);  // not for lack of balance
  CHECK(done.router_entropy_first == 0); // there are no logits to decide by
}

TEST_CASE("dropping shows in the metrics, and a capacity of twice the mean drops next to nothing",
          "[process][learning]") {
  const auto tight = train({"sigmoid_bias", "--capacity-policy", "probs", "--capacity-factor", "0.75",
                            "--capacity-factor-eval", "2"});
  CHECK(tight.dropped >= 0.25); // of 4 · 0.75 places for every 4 choices, at least
  CHECK(tight.dropped < 0.35);
  CHECK(tight.accuracy >= 0.85);
  const auto ample = train({"sigmoid_bias", "--capacity-policy", "probs", "--capacity-factor", "2"});
  CHECK(ample.dropped < 0.001);
}
