#include "launcher/command_line.hpp"
#include "launcher/toml_config.hpp"
#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace troupe;
using namespace troupe::launcher;
using Catch::Matchers::ContainsSubstring;

namespace {

expected<train_options> read(const std::string& toml, std::vector<std::string> flags = {}) {
  const test::temporary_directory folder;
  flags.insert(flags.begin(), {"train", "--config", folder.write("run.toml", toml)});
  const auto result = read_command_line(flags);
  if (!result) return tl::unexpected(result.error());
  return std::get<train_options>(*result);
}

std::string problem_with(const std::string& toml) {
  const auto result = read(toml);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == error_code::usage);
  CHECK(result.error().text.find('\n') == std::string::npos);
  return result.error().text;
}

} // namespace

TEST_CASE("a file sets options by the names of the flags", "[unit]") {
  const auto options = read(
    "# a run\nnum-experts = 8\nlr = 3e-4\noptimizer = 'adamw'\nno-renormalise = true\n"
    "expert-bias = false\nprint-digest = true\nseed = 1_000\nnodes = 2\n");
  REQUIRE(options);
  CHECK(options->config.model.experts == 8);
  CHECK(options->config.optimizer.learning_rate == 3e-4);
  CHECK(options->config.optimizer.name == "adamw");
  CHECK_FALSE(options->config.model.router.renormalise);
  CHECK_FALSE(options->config.model.expert_bias);
  CHECK(options->print_digest);
  CHECK(options->config.schedule.seed == 1000);
  CHECK(options->run.nodes == 2);
}

TEST_CASE("flags win over the file", "[unit]") {
  const auto options = read("num-experts = 8\nlr = 0.5\nexpert-bias = false\n",
                            {"--lr", "0.25", "--expert-bias"});
  REQUIRE(options);
  CHECK(options->config.model.experts == 8);
  CHECK(options->config.optimizer.learning_rate == 0.25);
  CHECK(options->config.model.expert_bias);
  CHECK_FALSE(read("print-digest = true\n", {"--print-digest=false"})->print_digest);
}

TEST_CASE("numbers of a file keep all their bits", "[unit]") {
  CHECK(read("lr = 0.1234567890123456789\n")->config.optimizer.learning_rate == 0.1234567890123456789);
  CHECK(read("epsilon = 1e-300\n")->config.optimizer.epsilon == 1e-300);
}

TEST_CASE("losses in a file are one text or a list", "[unit]") {
  const std::vector<loss_option> both = {{"switch", 0.01}, {"variance", 0.1}, {"z", 0.001}};
  CHECK(read("router-loss = ['variance=0.1', 'z=1e-3']\n")->config.model.router.losses == both);
  CHECK(read("router-loss = 'variance=0.1,z=1e-3'\n")->config.model.router.losses == both);
  CHECK(read("router-loss = ['z=1']\n", {"--router-loss", "variance=0.1", "--router-loss", "z=0.001"})
          ->config.model.router.losses
        == both);
  CHECK_THAT(problem_with("router-loss = [[1]]\n"),
             ContainsSubstring("router-loss: got a list, limit a text"));
  CHECK_THAT(problem_with("router-loss = 'z'\n"),
             ContainsSubstring("--router-loss: got 'z', limit NAME=COEF"));
}

TEST_CASE("a negative form in a file turns its option off", "[unit]") {
  CHECK_FALSE(read("no-expert-bias = true\n")->config.model.expert_bias);
  CHECK(read("no-expert-bias = false\n")->config.model.expert_bias);
}

TEST_CASE("what is wrong in a file is named with its line", "[unit]") {
  CHECK_THAT(problem_with("lr = 0.1\nnum-expert = 8\n"),
             ContainsSubstring(":2] unknown key 'num-expert'; did you mean 'num-experts'?"));
  CHECK_THAT(problem_with("lr = 0.1\n\nlr 0.2\n"), ContainsSubstring(":3] malformed TOML"));
  CHECK_THAT(problem_with("lr = 0.1\nlr = 0.2\n"), ContainsSubstring("malformed TOML"));
  CHECK_THAT(problem_with("lr = 'fast'\n"),
             ContainsSubstring(":1] lr: got 'fast', limit a number without quotes"));
  CHECK_THAT(problem_with("num-experts = '8'\n"),
             ContainsSubstring(":1] num-experts: got '8', limit a number without quotes"));
  CHECK_THAT(problem_with("\nnodes = -1\n"), ContainsSubstring(":2] nodes: got '-1'"));
  CHECK_THAT(problem_with("nodes = true\n"), ContainsSubstring("nodes: got true, limit a number or a text"));
  CHECK_THAT(problem_with("print-digest = 1\n"),
             ContainsSubstring("print-digest: got 1, limit true or false"));
  CHECK_THAT(problem_with("[model]\nnum-experts = 8\n"), ContainsSubstring("unknown key 'model'"));
  CHECK_THAT(problem_with("lr = [1]\n"), ContainsSubstring("lr: got a list"));
  CHECK_THAT(problem_with("lr = nan\n"), ContainsSubstring("lr: got 'nan'"));
  CHECK_THAT(problem_with("save = ''\n"), ContainsSubstring(":1] save: got an empty text"));
  for (const std::string key : {"config", "help"}) {
    CAPTURE(key);
    const auto text = problem_with(key + " = 'other.toml'\n");
    CHECK_THAT(text, ContainsSubstring("key '" + key + "' is for the command line only"));
    CHECK_THAT(text, !ContainsSubstring("did you mean"));
  }
  CHECK_THAT(problem_with("num-experts = 0\n"), ContainsSubstring("--num-experts"));
}

TEST_CASE("a misspelt word is taken for the nearest, if one is near", "[unit]") {
  const std::vector<std::string> names = {"lr", "lanes", "num-experts"};
  CHECK(nearest("lane", names) == "lanes");
  CHECK(nearest("num-exprets", names) == "num-experts");
  CHECK(nearest("weather", names) == "");
}
