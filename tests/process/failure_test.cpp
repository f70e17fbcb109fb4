// What a part throws ends the run: with exit code 1 and one line that says where and why, wherever it
// happens.

#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>

using namespace troupe::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

using words = std::vector<std::string>;

words broken_run(const words& more) {
  words command{program("troupe"), "train", "--max-steps",    "20",
                "--num-experts",   "4",     "--node-program", program("troupe-broken-parts")};
  command.insert(command.end(), more.begin(), more.end());
  if (std::ranges::find(command, "--data") == command.end())
    command.insert(command.end(), {"--data", "gaussian"});
  return command;
}

struct breakage {
  words options;
  std::string where;
  std::string why;
};

} // namespace

TEST_CASE("whatever a part throws ends the run in one line", "[process][torch]") {
  const auto [options, where, why] = GENERATE(values<breakage>({
    {{"--router", "throws"}, "[router]", "the router has lost its way"},
    {{"--router", "throws", "--nodes", "1"}, "[router]", "the router has lost its way"},
    {{"--router", "beyond"}, "[router]", "got 1000000, limit -1 to 3"},
    {{"--data", "throws"}, "[data set]", "the rows are gone"},
    {{"--data", "ends"}, "[data loader]", "the rows are gone"},
    {{"--expert", "throws"}, "[expert ", "the expert has resigned"},
    {{"--expert", "throws", "--nodes", "2"}, "node-", "the expert has resigned"},
    {{"--expert", "large"}, "[expert 'large']", "not enough memory"},
    {{"--expert", "large", "--nodes", "2"}, "node-", "not enough memory"},
    {{"--data", "uncounted"}, "[data set]", "nobody has counted the rows"},
    {{"--expert", "skewed"}, "[expert ", "LibTorch: mat1 and mat2 shapes cannot be multiplied"},
    {{"--expert", "skewed", "--nodes", "2"}, "node-", "LibTorch: mat1 and mat2 shapes cannot be multiplied"},
    {{"--expert", "idle"}, "[expert ", "result of compute: got Float ["},
    {{"--expert", "silent", "--print-digest"}, "state of expert-0-0: ", "the parameters are a secret"},
    {{"--expert", "silent", "--print-digest", "--nodes", "2"}, "expert-0-0", "the parameters are a secret"},
  }));
  CAPTURE(options);
  const auto done = run(broken_run(options), 60s);
  INFO(done.output << done.errors);
  REQUIRE_FALSE(done.timed_out);
  CHECK(done.status == exit_status{1, 0});
  CHECK_THAT(done.errors,
             StartsWith("troupe: error: ") && ContainsSubstring(where) && ContainsSubstring(why));
  CHECK(std::ranges::count(done.errors, '\n') == 1);
}

TEST_CASE("a data set without rows is refused", "[process][torch]") {
  const auto done = run(broken_run({"--data", "empty"}), 60s);
  INFO(done.output << done.errors);
  CHECK(done.status == exit_status{2, 0});
  CHECK(done.errors == "troupe: error: --data: got 'empty' with 0 rows to train on, limit at least 1\n");
}

TEST_CASE("an expert that does not take a saved model's parameters is named", "[process][torch]") {
  temporary_directory place;
  const auto trained = run(broken_run({"--expert", "stubborn", "--save", place / "model"}), 60s);
  INFO(trained.output << trained.errors);
  REQUIRE(trained.status.success());
  const auto done = run(
    {program("troupe"), "eval", "--model", place / "model", "--node-program", program("troupe-broken-parts")},
    60s);
  INFO(done.output << done.errors);
  REQUIRE_FALSE(done.timed_out);
  CHECK(done.status == exit_status{1, 0});
  CHECK_THAT(done.errors, StartsWith("troupe: error: [head] state of expert-0-0: ")
                            && ContainsSubstring("the parameters are mine"));
  CHECK(std::ranges::count(done.errors, '\n') == 1);
}

TEST_CASE("a node elsewhere that cannot go on says why, and the head names it", "[process][torch]") {
  auto head = process::start(broken_run({"--expert", "throws", "--listen", "127.0.0.1:0"}));
  const auto address = address_of_run(head);
  const auto guest = run({program("troupe"), "node", "--join", address, "--name", "guest", "--node-program",
                          program("troupe-broken-parts")},
                         60s);
  const auto end = head.wait(30s);
  INFO(head.output() << head.errors() << guest.output << guest.errors);
  REQUIRE(end);
  CHECK(*end == exit_status{1, 0});
  CHECK_THAT(head.errors(), StartsWith("troupe: error: [node] guest: [expert ")
                              && ContainsSubstring("the expert has resigned"));
  CHECK(guest.status == exit_status{1, 0});
  CHECK_THAT(guest.errors, StartsWith("troupe: error: ") && ContainsSubstring("the expert has resigned"));
}

TEST_CASE("a node elsewhere takes a run for done whose model is saved but not its metrics", "[process]") {
  temporary_directory place;
  auto head = process::start({program("troupe"), "train", "--data", "gaussian", "--max-steps", "5",
                              "--listen", "127.0.0.1:0", "--save", place / "model", "--metrics-file",
                              "/dev/full"});
  const auto guest = run({program("troupe"), "node", "--join", address_of_run(head)}, 60s);
  const auto end = head.wait(30s);
  INFO(head.output() << head.errors() << guest.output << guest.errors);
  REQUIRE(end == exit_status{1, 0});
  CHECK_THAT(head.errors(), ContainsSubstring("cannot write all of /dev/full"));
  CHECK(guest.status.success());
  CHECK(guest.errors.empty());
}

TEST_CASE("a node elsewhere says that the run has failed, and why", "[process][torch]") {
  auto head = process::start(broken_run({"--router", "throws", "--listen", "127.0.0.1:0"}));
  const auto address = address_of_run(head);
  const auto guest = run(
    {program("troupe"), "node", "--join", address, "--node-program", program("troupe-broken-parts")}, 60s);
  const auto end = head.wait(30s);
  INFO(head.output() << head.errors() << guest.output << guest.errors);
  REQUIRE(end == exit_status{1, 0});
  const std::string error = "troupe: error: ";
  REQUIRE_THAT(head.errors(), StartsWith(error) && ContainsSubstring("the router has lost its way"));
  const auto why = head.errors().substr(error.size(), head.errors().find('\n') - error.size());
  CHECK(guest.status == exit_status{1, 0});
  CHECK(guest.errors
        == error + "[node] the run has failed: " + why + "; join again when it has been started again\n");
}
