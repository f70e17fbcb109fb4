#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <numeric>

using namespace troupe::test;
using namespace std::chrono_literals;

TEST_CASE("the metrics tell the gradient's norm and the time of the update where there is one", "[process]") {
  struct row {
    std::string norm;
    std::string scope;
    bool has_norm;
  };
  const auto [norm, scope, has_norm] = GENERATE(values<row>({
    {"0", "global", false},
    {"1", "local", false},
    {"1", "global", true},
  }));
  CAPTURE(norm, scope);
  temporary_directory place;
  const auto done = run({program("troupe"), "train", "--data", "gaussian", "--max-steps", "3", "--clip-norm",
                         norm, "--clip-scope", scope, "--metrics-file", place / "metrics"},
                        120s);
  INFO(done.output << done.errors);
  REQUIRE(done.status.success());
  int steps = 0;
  for (const auto& line : read_metrics(place / "metrics")) {
    if (line["event"] != "step") continue;
    ++steps;
    CHECK(line.contains("gradient_norm") == has_norm);
    CHECK((!has_norm || line["gradient_norm"].get<double>() > 0));
    CHECK(line["phases_us"]["apply"].get<double>() > 0);
  }
  CHECK(steps == 3);
}

TEST_CASE("an evaluation says how many rows of each class went to each expert", "[process]") {
  temporary_directory place;
  const auto done = run({program("troupe"), "train", "--data", "fashion-mnist", "--max-steps", "20",
                         "--num-experts", "5", "--num-experts-per-token", "2", "--metrics-file",
                         place / "metrics"},
                        120s);
  INFO(done.output << done.errors);
  REQUIRE(done.status.success());
  const auto last = read_metrics(place / "metrics").back();
  REQUIRE(last["event"] == "evaluation");
  const auto table = last["expert_class"].get<std::vector<std::vector<std::uint64_t>>>();
  REQUIRE(table.size() == 5);
  std::vector<std::uint64_t> of_expert;
  std::vector<std::uint64_t> of_class(10);
  for (auto& row : table) {
    REQUIRE(row.size() == 10);
    of_expert.push_back(std::accumulate(row.begin(), row.end(), std::uint64_t{0}));
    for (std::size_t c = 0; c < row.size(); ++c) of_class[c] += row[c];
  }
  // The test set has 1,000 rows of each of its ten classes, and each row visits two experts.
  CHECK(of_class == std::vector<std::uint64_t>(10, 2000));
  CHECK(of_expert == last["expert_rows"][0].get<std::vector<std::uint64_t>>());
}
