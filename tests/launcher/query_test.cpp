#include "tests/launcher/launcher_fixture.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <csignal>

using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("status is a table for people and JSON for programs", "[process]") {
  const auto table = run_troupe({"status", "127.0.0.1:4040"});
  CHECK(table.status == exit_status{0, 0});
  CHECK_THAT(table.output, ContainsSubstring("Run fake-run | step 120 of 469") && ContainsSubstring("head")
                             && ContainsSubstring("0-1, 3"));
  const auto json = run_troupe({"status", "127.0.0.1:4040", "--json"});
  CHECK(nlohmann::json::parse(json.output).at("step") == 120);
}

TEST_CASE("asking where no head is is an error", "[process]") {
  const auto result = run_troupe({"status", "127.0.0.1:9"});
  CHECK(result.status == exit_status{1, 0});
  CHECK(result.errors == "troupe: error: [status] no head at 127.0.0.1:9\n");
}

TEST_CASE("drain passes the node on and says when it is done", "[process]") {
  const temporary_directory records;
  const auto result = run_troupe({"drain", "node-2", "--head", "127.0.0.1:4040"},
                                 {{"FAKE_NODE_RECORD", records.path()}});
  CHECK(result.status == exit_status{0, 0});
  CHECK(
    result.output
    == "node-2 hands its experts over and leaves; `troupe status 127.0.0.1:4040` shows when it is gone\n");
  const auto words = record_of(records, "drain").at("arguments");
  CHECK(words.at(2) == "--head");
  CHECK(words.at(3) == "127.0.0.1:4040");
  CHECK(words.at(4) == "node-2");
}

namespace {

/// A head that waits for ever, and its address.
std::pair<process, std::string> start_head() {
  auto head = start_troupe({"train", "--listen", "127.0.0.1:0"}, {{"FAKE_HEAD", "wait"}});
  REQUIRE(head.wait_for_output("--join 127.0.0.1:", patience));
  const auto output = head.output();
  const auto begin = output.find("--join ") + 7;
  return {std::move(head), output.substr(begin, output.find('\n', begin) - begin)};
}

} // namespace

TEST_CASE("a node joins a head elsewhere and ends with it", "[process]") {
  auto [head, address] = start_head();
  auto node = start_troupe({"node", "--join", address, "--name", "second"});
  REQUIRE(node.wait_for_output("Joined run fake-run at " + address + " as second; to leave", patience));
  head.send(SIGTERM);
  CHECK(head.wait(patience) == exit_status{130, 0});
  CHECK(node.wait(patience) == exit_status{0, 0});
}

TEST_CASE("a node says the name that it was given, and how to drain it", "[process]") {
  auto [head, address] = start_head();
  const auto drained = "; to leave without ending the run: Ctrl-C once, or troupe drain node-3 --head "
                       + address;
  auto renamed = start_troupe({"node", "--join", address, "--name", "node-1"}, {{"FAKE_NODE", "renamed"}});
  CHECK(renamed.wait_for_output(" as node-3 (node-1 is taken)" + drained, patience));
  auto nameless = start_troupe({"node", "--join", address});
  CHECK(nameless.wait_for_output(" as node-3" + drained, patience));
}

TEST_CASE("the first Ctrl-C on a node drains it and the run goes on", "[process]") {
  const auto signal = GENERATE(SIGINT, SIGTERM);
  const temporary_directory records;
  auto [head, address] = start_head();
  auto node = start_troupe({"node", "--join", address, "--name", "second"},
                           {{"FAKE_NODE", "drained"}, {"FAKE_NODE_RECORD", records.path()}});
  REQUIRE(node.wait_for_output("as second; to leave", patience));
  node.send(signal);
  CHECK(node.wait(patience) == exit_status{0, 0});
  CHECK_THAT(node.errors(), ContainsSubstring("handing the experts over"));
  CHECK_THAT(node.output(), ContainsSubstring("Node second left: on request\n"));
  CHECK(value_of(record_of(records, "drain"), "--head") == address);
  CHECK(record_of(records, "drain").at("arguments").back() == "3"); // whatever its name
}

TEST_CASE("a second Ctrl-C on a node leaves at once, also when it could not be drained", "[process]") {
  auto [head, address] = start_head();
  auto node = start_troupe({"node", "--join", address, "--name", "second"}, {{"FAKE_NODE", "last"}});
  REQUIRE(node.wait_for_output("as second; to leave", patience));
  node.send(SIGINT);
  REQUIRE(
    node.wait_for_errors("warning: [drain] second is the last node with experts; Ctrl-C again", patience));
  node.send(SIGINT);
  CHECK(node.wait(patience) == exit_status{130, 0});
  CHECK_THAT(node.errors(), ContainsSubstring("leaving, which ends the run"));
}

TEST_CASE("a node that is refused, or finds no head, says why", "[process]") {
  const auto refused = run_troupe({"node", "--join", "127.0.0.1:9"}, {{"FAKE_NODE", "refused"}});
  CHECK(refused.status == exit_status{1, 0});
  CHECK(refused.errors
        == "troupe: error: [join] run id: got other, limit fake-run; pass --run-id fake-run\n");
  const auto alone = run_troupe({"node", "--join", "127.0.0.1:9"});
  CHECK(alone.status == exit_status{1, 0});
  CHECK(alone.errors == "troupe: error: [join] no head at 127.0.0.1:9\n");
}

TEST_CASE("a node compares the configuration of a file", "[process]") {
  const temporary_directory folder;
  const auto file = folder.write("run.toml", "num-experts = 8\n");
  const variables environment = {{"FAKE_NODE_RECORD", folder.path()}, {"FAKE_NODE", "refused"}};
  run_troupe({"train", "--config", file, "--nodes", "1"}, {{"FAKE_NODE_RECORD", folder.path()}});
  run_troupe(
    {"node", "--join", "127.0.0.1:9", "--name", "other", "--config", file, "--wait-policy", "passive"},
    environment);
  CHECK(value_of(record_of(folder, "other"), "--wait-policy") == "passive");
  const auto compared = value_of(record_of(folder, "node-1"), "--configuration");
  CHECK(nlohmann::json::parse(compared).at("model").at("experts") == 8);
  CHECK(compared == value_of(record_of(folder, "head"), "--configuration"));
  CHECK(value_of(record_of(folder, "other"), "--configuration") == compared);
}
