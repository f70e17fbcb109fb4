#include "tests/launcher/launcher_fixture.hpp"

#include "model/checkpoint/model_directory.hpp"
#include "model/configuration.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <csignal>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

bool has_line(const std::string& text, const std::string& line) {
  const auto lines = lines_of(text);
  return std::find(lines.begin(), lines.end(), line) != lines.end();
}

/// Ends the run's process `word`, and expects the run to end with one line that names it.
void expect_end_after_loss(const std::string& word, int signal, const std::string& named) {
  auto launcher = start_troupe({"train", "--nodes", "2", "--log-interval", "50"}, {{"FAKE_HEAD", "wait"}});
  const auto children = wait_for_children(launcher, 3);
  REQUIRE(children.size() == 3);
  REQUIRE(launcher.wait_for_output("Step 250 ", patience));
  ::kill(child_with(children, word), signal);
  const auto status = launcher.wait(milliseconds(3000)); // the promise: the run ends within 3 s
  REQUIRE(status == exit_status{1, 0});
  CHECK(lines_of(launcher.errors()).size() == 1);
  CHECK_THAT(launcher.errors(), StartsWith("troupe: error: ") && ContainsSubstring(named)
                                  && ContainsSubstring("signal " + std::to_string(signal))
                                  && ContainsSubstring("at step 250 of 469"));
  CHECK(all_gone(children));
}

} // namespace

TEST_CASE("a run prints its steps, its result and the load of the experts", "[process]") {
  const auto result = run_troupe({"train", "--nodes", "2", "--print-digest"}, {{"LC_ALL", "C"}});
  CHECK(result.status == exit_status{0, 0});
  CHECK(result.errors == "");
  const auto& output = result.output;
  CHECK(has_line(output, "Step 100 | Loss: 0.4821 | Aux Loss: 1.0312 | LR: 1.00e-03 | 81.2k samples/s"));
  CHECK(has_line(output, "Step 200 | Loss: 0.4821 | Aux Loss: 1.0312 | LR: 1.00e-03 | 81.2k samples/s"));
  CHECK_THAT(output, !ContainsSubstring("Step 50 ") && !ContainsSubstring("\x1b"));
  CHECK(has_line(output, "digest " + std::string(64, 'a')));
  CHECK(has_line(output, "Test accuracy: 0.8431 (10,000 rows, loss 0.4432)"));
  CHECK(has_line(output, "Router losses of the last step: switch 1.0312 (1 at balance)"));
  CHECK(has_line(output, "       3        10,000   50.0%  ##############################"));
  CHECK(has_line(output, "       1         2,500   12.5%  ########......................"));
}

TEST_CASE("a run ends although whoever started it ignores the end of children", "[process]") {
  auto words = with_fake_node({"train", "--nodes", "1"});
  words.insert(words.begin(), {"env", "--ignore-signal=CHLD"});
  const auto result = run(words, patience);
  CHECK_FALSE(result.timed_out);
  CHECK(result.status == exit_status{0, 0});
  CHECK(has_line(result.output, "Test accuracy: 0.8431 (10,000 rows, loss 0.4432)"));
}

TEST_CASE("the log interval decides which steps are printed", "[process]") {
  const auto count = [](const finished_process& result) {
    const auto lines = lines_of(result.output);
    return std::count_if(lines.begin(), lines.end(),
                         [](const auto& line) { return line.starts_with("Step "); });
  };
  CHECK(count(run_troupe({"train", "--log-interval", "50"})) == 4); // 50, 100, 200, 250
  CHECK(count(run_troupe({"train", "--log-interval", "0"})) == 0);
}

TEST_CASE("head and nodes are told what the command line said", "[process]") {
  const temporary_directory records;
  const auto result = run_troupe({"train", "--nodes", "2", "--num-experts", "8", "--lr", "3e-4",
                                  "--slow-node", "2:5", "--wait-policy", "passive"},
                                 {{"FAKE_NODE_RECORD", records.path()}});
  REQUIRE(result.status == exit_status{0, 0});
  const auto head = record_of(records, "head");
  const auto config = configuration_from_json(value_of(head, "--configuration"));
  REQUIRE(config);
  CHECK(config->model.experts == 8);
  CHECK(config->optimizer.learning_rate == 3e-4);
  CHECK(run_options_from_json(value_of(head, "--run"))->nodes == 2);
  CHECK(run_options_from_json(value_of(head, "--run"))->wait_policy == "passive");
  CHECK(value_of(head, "--listen").empty()); // nobody else may join
  CHECK(value_of(head, "--log-interval") == "100");
  CHECK(value_of(head, "--events-fd") == "3");
  const auto first = record_of(records, "node-1");
  const auto second = record_of(records, "node-2");
  CHECK_THAT(value_of(first, "--head"), StartsWith("127.0.0.1:"));
  CHECK(value_of(first, "--run-id") == "fake-run");
  CHECK(value_of(first, "--configuration") == to_json(*config));
  CHECK(value_of(first, "--slow").empty());
  CHECK(value_of(first, "--wait-policy") == "passive"); // the head does it for the machine
  CHECK(value_of(second, "--slow") == "5");
  CHECK(first.at("group") != head.at("group")); // Ctrl-C of a terminal must reach the launcher alone
}

TEST_CASE("numerics variables are set before exec, unless the user has set them", "[process]") {
  const temporary_directory records;
  const auto result = run_troupe({"train", "--intra-op-threads", "2"},
                                 {{"FAKE_NODE_RECORD", records.path()}, {"MKL_NUM_THREADS", "7"}});
  REQUIRE(result.status == exit_status{0, 0});
  const auto environment = record_of(records, "head").at("environment");
  CHECK(environment.at("OMP_NUM_THREADS") == "2");
  CHECK(environment.at("MKL_DYNAMIC") == "FALSE");
  CHECK(environment.at("MKL_CBWR") == "AVX2,STRICT");
  CHECK(environment.at("MKL_NUM_THREADS") == "7");
}

TEST_CASE("a node that dies ends the run within three seconds, by name", "[process]") {
  expect_end_after_loss("node-2", SIGKILL, "node-2");
}

TEST_CASE("a node that crashes is named with its signal", "[process]") {
  expect_end_after_loss("node-1", SIGABRT, "node-1"); // sanitizers catch SIGSEGV themselves
}

TEST_CASE("a node without experts that dies is a warning, and the run goes on", "[process]") {
  auto launcher = start_troupe({"train", "--nodes", "2", "--log-interval", "50"}, {{"FAKE_HEAD", "idle"}});
  const auto children = wait_for_children(launcher, 3);
  REQUIRE(children.size() == 3);
  REQUIRE(launcher.wait_for_output("Step 300 ", patience));
  ::kill(child_with(children, "node-2"), SIGKILL);
  REQUIRE(launcher.wait(patience) == exit_status{0, 0});
  CHECK(lines_of(launcher.errors()).size() == 1);
  CHECK_THAT(launcher.errors(), StartsWith("troupe: warning: [run] node node-2 (process ")
                                  && ContainsSubstring("signal 9")
                                  && ContainsSubstring("the run goes on without it"));
  CHECK_THAT(launcher.output(), ContainsSubstring("Test accuracy: 0.8431"));
  CHECK(all_gone(children));
}

TEST_CASE("a head that dies ends the run and its nodes", "[process]") {
  expect_end_after_loss("head", SIGKILL, "head");
}

TEST_CASE("a process that crashes is quoted with its last words", "[process]") {
  const auto result = run_troupe({"train", "--nodes", "1"}, {{"FAKE_HEAD", "crash"}});
  CHECK(result.status == exit_status{1, 0});
  const auto lines = lines_of(result.errors);
  REQUIRE(lines.size() == 3);
  CHECK_THAT(lines[0], StartsWith("troupe: error: [run] head (process "));
  CHECK(lines[1] == "  head: first line");
  CHECK(lines[2] == "  head: the last words");
}

TEST_CASE("an error that the head reports is the launcher's, with its exit code", "[process]") {
  const auto usage = run_troupe({"train", "--nodes", "1"}, {{"FAKE_HEAD", "usage"}});
  CHECK(usage.status == exit_status{2, 0});
  CHECK(usage.errors == "troupe: error: --save: got /, limit an empty directory\n");
  const auto failed = run_troupe({"train"}, {{"FAKE_HEAD", "failed"}});
  CHECK(failed.status == exit_status{1, 0});
  CHECK(failed.errors == "troupe: error: [data] package dataset-fashion-mnist is missing\n");
}

TEST_CASE("a run that is done shows its result even if a file of it could not be written", "[process]") {
  const auto result = run_troupe({"train", "--save", "m"}, {{"FAKE_HEAD", "incomplete"}});
  CHECK(result.status == exit_status{1, 0});
  CHECK(result.errors == "troupe: error: --metrics-file: cannot write all of m\n");
  CHECK(has_line(result.output, "Saved to m"));
  CHECK(has_line(result.output, "Trained 469 steps in 1.2s, 48.0k samples/s"));
  CHECK(has_line(result.output, "Test accuracy: 0.8431 (10,000 rows, loss 0.4432)"));
}

TEST_CASE("a node that is refused ends the run with the reason", "[process]") {
  const auto result = run_troupe({"train", "--nodes", "1"}, {{"FAKE_NODE", "refused"}});
  CHECK(result.status == exit_status{1, 0});
  CHECK(result.errors
        == "troupe: error: node-1: [join] run id: got other, limit fake-run; pass --run-id fake-run\n");
}

TEST_CASE("why a run failed is what its head says, not what its nodes were told", "[process]") {
  const auto result = run_troupe({"train", "--nodes", "2"}, {{"FAKE_HEAD", "late"}, {"FAKE_NODE", "told"}});
  CHECK(result.status == exit_status{1, 0});
  CHECK(result.errors == "troupe: error: [data] package dataset-fashion-mnist is missing\n");
}

TEST_CASE("a node that exits with an error code ends the run", "[process]") {
  const auto result = run_troupe({"train", "--nodes", "1"}, {{"FAKE_HEAD", "wait"}, {"FAKE_NODE", "exit"}});
  CHECK(result.status == exit_status{1, 0});
  CHECK_THAT(result.errors,
             ContainsSubstring("node node-1 (process ") && ContainsSubstring("exited with code 3"));
}

TEST_CASE("a head that ends without a word, or with words that are no events, is an error", "[process]") {
  const auto silent = run_troupe({"train", "--nodes", "1"}, {{"FAKE_HEAD", "silent"}});
  CHECK(silent.status == exit_status{1, 0});
  CHECK_THAT(silent.errors,
             ContainsSubstring("head (process ") && ContainsSubstring("did not say that the run was done"));
  const auto garbage = run_troupe({"train"}, {{"FAKE_HEAD", "garbage"}});
  CHECK(garbage.status == exit_status{1, 0});
  CHECK_THAT(garbage.errors, ContainsSubstring("[events]") && ContainsSubstring("terminate called after"));
}

TEST_CASE("a warning goes to stderr and the run goes on", "[process]") {
  const auto result = run_troupe({"train"}, {{"FAKE_HEAD", "warn"}});
  CHECK(result.status == exit_status{0, 0});
  CHECK(result.errors == "troupe: warning: expert 3 has had no row for 100 steps\n");
}

TEST_CASE("an output that cannot be written is an error", "[process]") {
  const std::string where = GENERATE(" > /dev/full", " >&-", " <&- >&- ");
  for (const std::string command : {"train --print-digest", "train --log-interval 1", "status 127.0.0.1:4040",
                                    "status 127.0.0.1:4040 --json", "--help", "--version"}) {
    CAPTURE(command, where);
    const auto line = "\"$0\" " + command + (command.starts_with("--") ? "" : " --node-program \"$1\"")
                      + where;
    const auto result = troupe::test::run({"/bin/sh", "-c", line, TROUPE_PROGRAM, FAKE_NODE_PROGRAM},
                                          patience);
    CHECK(result.status == exit_status{1, 0});
    CHECK(result.errors == "troupe: error: [output] stdout: cannot write all of it; is its disk full?\n");
  }
}

TEST_CASE("a saved model is tested with the configuration it was trained with", "[process]") {
  const temporary_directory folder;
  const temporary_directory records;
  configuration config;
  config.model.experts = 1;
  config.model.router.experts_per_token = 1;
  config.model.router.name = "switch";
  config.data.name = "gaussian";
  const std::vector<owner_parameters> owners = {{owner_id{0, owner_id::dense_part, 0}, {}},
                                                {owner_id{0, 0, 0}, {}}};
  REQUIRE(write_model(folder / "model", config, 3, owners));
  const auto result = run_troupe({"eval", "--model", folder / "model", "--data-dir", "elsewhere"},
                                 {{"FAKE_NODE_RECORD", records.path()}});
  CHECK(result.errors == "");
  CHECK(result.status == exit_status{0, 0});
  CHECK(has_line(result.output, "Test accuracy: 0.8431 (10,000 rows, loss 0.4432)"));
  CHECK_THAT(result.output, !ContainsSubstring("Trained"));
  const auto head = record_of(records, "head");
  config.data.directory = "elsewhere";
  CHECK(configuration_from_json(value_of(head, "--configuration")) == config);
  CHECK(value_of(head, "--model") == folder / "model");
  CHECK(value_of(head, "--task") == "eval");
}
