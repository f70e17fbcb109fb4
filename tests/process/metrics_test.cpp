#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>

#include <numeric>

using namespace troupe::test;
using namespace std::chrono_literals;

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
