#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace troupe::test;

namespace {

std::vector<std::string> example_run(const std::string& name, std::vector<std::string> more) {
  std::vector<std::string> command{program("troupe"), "train",          "--data",
                                   "gaussian",        "--max-steps",    "60",
                                   "--print-digest",  "--node-program", program(name)};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

/// Accuracy that a run printed at its end.
double accuracy_of(const std::vector<std::string>& command) {
  const auto done = run(command, std::chrono::minutes(2));
  INFO(done.output << done.errors);
  REQUIRE(done.status.success());
  const auto at = done.output.rfind("Test accuracy: ");
  REQUIRE(at != std::string::npos);
  return std::stod(done.output.substr(at + 15));
}

} // namespace

TEST_CASE("an expert from outside learns, and gives the same weights on two nodes", "[process][torch]") {
  const auto here = example_run("example-custom-expert", {"--expert", "squared"});
  REQUIRE(accuracy_of(here) > 0.5); // 8 classes: chance is 0.125
  REQUIRE(digest_of_run(example_run("example-custom-expert", {"--expert", "squared", "--nodes", "2"}))
          == digest_of_run(here));
}

TEST_CASE("a router from outside learns, and gives the same weights on two nodes", "[process]") {
  const auto here = example_run("example-custom-router", {"--router", "even-first"});
  REQUIRE(accuracy_of(here) > 0.5);
  REQUIRE(digest_of_run(example_run("example-custom-router", {"--router", "even-first", "--nodes", "2"}))
          == digest_of_run(here));
}
