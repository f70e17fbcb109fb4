#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

using namespace troupe::test;

namespace {

std::string reference_digest(const std::string& optimizer) {
  static std::map<std::string, std::string> known;
  auto& digest = known[optimizer];
  if (digest.empty()) digest = digest_of_run(awkward_run({"--optimizer", optimizer}));
  return digest;
}

} // namespace

TEST_CASE("the same weights come out of every way to carry a run out", "[process]") {
  using words = std::vector<std::string>;
  const auto optimizer = GENERATE(as<std::string>{}, "sgd", "adam", "adamw");
  const auto way = GENERATE(words{"--nodes", "1"}, words{"--nodes", "2"}, words{"--nodes", "3"},
                            words{"--data-parallel-size", "2"}, words{"--data-parallel-size", "3"},
                            words{"--nodes", "2", "--data-parallel-size", "3"}, words{"--in-flight", "1"},
                            words{"--in-flight", "4"}, words{"--nodes", "3", "--in-flight", "4"},
                            words{"--nodes", "2", "--message-delay-ms", "3"},
                            words{"--nodes", "2", "--compute-threads", "2"}, words{"--compute-threads", "1"});
  auto more = way;
  more.insert(more.end(), {"--optimizer", optimizer});
  CAPTURE(optimizer, way);
  REQUIRE(digest_of_run(awkward_run(more)) == reference_digest(optimizer));
}

TEST_CASE("one core gives the same weights as two", "[process]") {
  const auto optimizer = GENERATE(as<std::string>{}, "sgd", "adam", "adamw");
  auto pinned = awkward_run({"--optimizer", optimizer, "--nodes", "2"});
  pinned.insert(pinned.begin(), {"taskset", "-c", "0"});
  REQUIRE(digest_of_run(pinned) == reference_digest(optimizer));
}

TEST_CASE("other seeds give other weights", "[process]") {
  auto other = awkward_run({"--optimizer", "adam"});
  for (auto& word : other)
    if (word == "5") word = "6";
  REQUIRE(digest_of_run(other) != reference_digest("adam"));
}

TEST_CASE("optimizers give weights of their own", "[process]") {
  CHECK(reference_digest("sgd") != reference_digest("adam"));
  CHECK(reference_digest("adamw") != reference_digest("adam")); // there is a weight decay
}

TEST_CASE("a script recomputes the digest from the saved files", "[process]") {
  const auto optimizer = GENERATE(as<std::string>{}, "sgd", "adam", "adamw");
  temporary_directory place;
  const auto digest = digest_of_run(
    awkward_run({"--optimizer", optimizer, "--nodes", "2", "--save", place / "model"}));
  const auto script = run({"python3", std::string(TROUPE_SOURCE_DIR) + "/scripts/digest.py", place / "model"},
                          std::chrono::seconds(30));
  INFO(script.output << script.errors);
  REQUIRE(script.status.success());
  REQUIRE(script.output.find(digest) != std::string::npos);
}
