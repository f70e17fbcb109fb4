#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <map>
#include <optional>

#include <unistd.h>

using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

/// A run that takes long enough to change its membership on the way: letters are held back.
std::vector<std::string> unhurried(std::vector<std::string> more, const std::string& optimizer = "adam",
                                   int steps = 200) {
  more.insert(more.end(), {"--optimizer", optimizer, "--message-delay-ms", "4", "--listen", "127.0.0.1:0"});
  return awkward_run(more, steps);
}

/// One that does not end by itself.
std::vector<std::string> endless(const std::vector<std::string>& more) {
  return unhurried(more, "adam", 100000);
}

std::string undisturbed_digest(const std::string& optimizer = "adam") {
  static std::map<std::string, std::string> known;
  auto& digest = known[optimizer];
  if (digest.empty()) digest = digest_of_run(awkward_run({"--optimizer", optimizer}, 200));
  return digest;
}

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

/// Every field of `nodes` is there, and the rates of the nodes are those of their experts.
void check_rates(const nlohmann::json& status, std::size_t nodes) {
  INFO(status.dump());
  REQUIRE(status["nodes"].size() == nodes);
  const auto rows = status["expert_rows"][0].get<std::vector<double>>();
  const auto steps_per_second = status["steps_per_second"].get<double>();
  CHECK(steps_per_second > 0);
  for (auto& node : status["nodes"]) {
    CHECK(node["place"].get<std::string>().starts_with(host_name() + ", process "));
    CHECK(node["state"] == "active");
    CHECK(node["compute_threads"].get<int>() > 0);
    double rate = 0;
    for (const std::size_t expert : node["experts"]) {
      rate += rows.at(expert) * steps_per_second;
      CHECK(status["placement"].at(expert) == node["node"]);
    }
    CHECK(std::abs(node["rows_per_second"].get<double>() - rate) <= 1e-9 * rate);
    CHECK(node["bytes_in_per_second"].get<double>() > 0);
    CHECK(node["bytes_out_per_second"].get<double>() > 0);
  }
}

/// Name of the node that hosts no expert of a run with one such node.
std::string idle_node(const std::string& address) {
  const auto done = run({program("troupe"), "status", address, "--json"}, 30s);
  INFO(done.output << done.errors);
  REQUIRE(done.status.success());
  const auto status = nlohmann::json::parse(done.output);
  for (auto& node : status["nodes"])
    if (node["experts"].empty()) return node["name"];
  FAIL("every node has experts");
  return "";
}

} // namespace

TEST_CASE("a node that joins in the middle takes its share and changes no bit", "[process]") {
  const auto optimizer = GENERATE(as<std::string>{}, "sgd", "adam", "adamw");
  CAPTURE(optimizer);
  temporary_directory place;
  auto run = process::start(unhurried({"--nodes", "1", "--metrics-file", place / "metrics"}, optimizer));
  const auto address = address_of_run(run);
  REQUIRE(run.wait_for_output("Step 20 ", 60s));
  const auto node_1 = process_of_node(run, "node-1");
  REQUIRE(node_1 != 0);
  std::optional<paused> pause(node_1); // however slow the machine, the guest comes in the middle
  auto guest = process::start({program("troupe"), "node", "--join", address, "--name", "guest"});
  REQUIRE(run.wait_for_output("Node guest joined", 60s));
  pause.reset();
  const auto end = run.wait(120s);
  INFO(run.output() << run.errors() << guest.output() << guest.errors());
  REQUIRE(end);
  REQUIRE(end->success());
  REQUIRE(digest_in(run.output()) == undisturbed_digest(optimizer));
  const auto guest_end = guest.wait(10s);
  REQUIRE(guest_end);
  REQUIRE(guest_end->success());
  const auto rows = rows_by_node(read_metrics(place / "metrics"));
  REQUIRE(rows.at(1) > 0);
  REQUIRE(rows.at(2) > 0);
}

TEST_CASE("a run that stands still says so", "[process]") {
  auto run = process::start(endless({"--nodes", "1"}));
  const auto address = address_of_run(run);
  REQUIRE(run.wait_for_output("Step 20 ", 60s));
  const auto node_1 = process_of_node(run, "node-1");
  REQUIRE(node_1 != 0);
  std::optional<paused> pause(node_1);
  REQUIRE(wait_until([&] { return status_of_run(address).contains("seconds_since_step"); }, 60s));
  const auto still = status_of_run(address);
  CHECK(still["samples_per_second"].is_null());
  CHECK(still["steps_per_second"].is_null());
  CHECK(still["seconds_since_step"].get<double>() > 3);
  CHECK_FALSE(still["nodes"][0].contains("rows_per_second"));
  pause.reset();
  REQUIRE(wait_until([&] { return status_of_run(address)["steps_per_second"].is_number(); }, 60s));
}

TEST_CASE("a node that drains hands its experts over and changes no bit", "[process]") {
  const auto optimizer = GENERATE(as<std::string>{}, "sgd", "adam", "adamw");
  CAPTURE(optimizer);
  temporary_directory place;
  auto run = process::start(unhurried({"--nodes", "3", "--metrics-file", place / "metrics"}, optimizer));
  const auto address = address_of_run(run);
  REQUIRE(run.wait_for_output("Step 20 ", 60s));
  const auto node_1 = process_of_node(run, "node-1");
  REQUIRE(node_1 != 0);
  check_rates(status_of_run(address), 3);
  std::optional<paused> pause(node_1);
  const auto drained = number_of_node(address, "node-2");
  const auto drain = troupe::test::run({program("troupe"), "drain", "node-2", "--head", address}, 60s);
  INFO(drain.output << drain.errors);
  REQUIRE(drain.status.success());
  pause.reset();
  const auto end = run.wait(120s);
  INFO(run.output() << run.errors());
  REQUIRE(end);
  REQUIRE(end->success());
  REQUIRE(digest_in(run.output()) == undisturbed_digest(optimizer));
  const auto metrics = read_metrics(place / "metrics");
  for (int node = 1; node <= 3; ++node) REQUIRE(rows_by_node(metrics).at(node) > 0);
  std::vector<int> last;
  for (auto& line : metrics)
    if (line.contains("placement")) last = line["placement"].get<std::vector<int>>();
  REQUIRE(std::ranges::count(last, drained) == 0);
}

TEST_CASE("a run is joined, asked and left at an IPv6 address", "[process]") {
  auto run = process::start(awkward_run({"--nodes", "1", "--message-delay-ms", "4", "--listen", "[::1]:0"}));
  if (!run.wait_for_output("Listening at [::1]:", 30s)) {
    INFO(run.output() << run.errors());
    const bool none = run.errors().find("--listen: cannot open [::1]:0") != std::string::npos;
    REQUIRE(none);
    SKIP("this machine has no ::1");
  }
  const auto output = run.output();
  const auto begin = output.find("[::1]:");
  const auto address = output.substr(begin, output.find(' ', begin) - begin);
  REQUIRE(run.wait_for_output("Step 10 ", 60s));
  std::optional<paused> pause(process_of_node(run, "node-1"));
  auto guest = process::start({program("troupe"), "node", "--join", address, "--name", "guest"});
  REQUIRE(run.wait_for_output("Node guest joined", 60s));
  REQUIRE(number_of_node(address, "guest") == 2);
  const auto drain = troupe::test::run({program("troupe"), "drain", "guest", "--head", address}, 60s);
  INFO(drain.output << drain.errors);
  REQUIRE(drain.status.success());
  pause.reset();
  REQUIRE(guest.wait(60s) == exit_status{0, 0});
  REQUIRE(guest.output().find("Node guest left: on request, the run goes on without it\n")
          != std::string::npos);
  REQUIRE(run.wait(120s) == exit_status{0, 0});
}

TEST_CASE("a node that leaves by Ctrl-C hands its experts over and changes no bit", "[process]") {
  auto run = process::start(unhurried({"--nodes", "1"}));
  const auto address = address_of_run(run);
  REQUIRE(run.wait_for_output("Step 20 ", 60s));
  const auto node_1 = process_of_node(run, "node-1");
  REQUIRE(node_1 != 0);
  std::optional<paused> pause(node_1);
  auto guest = process::start({program("troupe"), "node", "--join", address});
  REQUIRE(guest.wait_for_output(" as node-2; to leave", 60s));
  guest.send(SIGINT);
  REQUIRE(run.wait_for_output("Node node-2 hands its experts over", 60s));
  pause.reset();
  const auto guest_end = guest.wait(60s);
  const auto end = run.wait(120s);
  INFO(run.output() << run.errors() << guest.output() << guest.errors());
  REQUIRE((guest_end && guest_end->success()));
  REQUIRE((end && end->success()));
  REQUIRE(run.output().find("Node node-2 left") != std::string::npos);
  REQUIRE(digest_in(run.output()) == undisturbed_digest());
}

TEST_CASE("a node elsewhere is let go when the run is interrupted", "[process]") {
  auto run = process::start(endless({"--nodes", "1"}));
  const auto address = address_of_run(run);
  REQUIRE(run.wait_for_output("Step 10 ", 60s)); // with its own node: whoever comes first is the one it waits
                                                 // for
  auto guest = process::start({program("troupe"), "node", "--join", address, "--name", "guest"});
  REQUIRE(run.wait_for_output("Node guest joined", 60s));
  run.send(SIGINT);
  const auto end = run.wait(10s);
  const auto guest_end = guest.wait(10s);
  INFO(run.output() << run.errors() << guest.output() << guest.errors());
  REQUIRE(end == exit_status{130, 0});
  REQUIRE(guest_end == exit_status{0, 0});
  REQUIRE(guest.errors() == "troupe: warning: [node] released: the run was interrupted at its head\n");
}

TEST_CASE("a node elsewhere says what to do when the head dies", "[process]") {
  auto run = process::start(endless({}));
  const auto address = address_of_run(run);
  auto guest = process::start({program("troupe"), "node", "--join", address});
  REQUIRE(run.wait_for_output("Step 10 ", 60s));
  const auto head = children_of(run.pid());
  REQUIRE(head.size() == 1);
  ::kill(head.front(), SIGKILL);
  const auto guest_end = guest.wait(30s);
  INFO(run.output() << run.errors() << guest.output() << guest.errors());
  REQUIRE(guest_end == exit_status{1, 0});
  REQUIRE(guest.errors()
          == "troupe: error: [node] the connection to the head at " + address
               + " ended before the node was released; join again when the run has been started again\n");
}

TEST_CASE("a slow node changes nothing but time", "[process]") {
  REQUIRE(digest_of_run(awkward_run({"--optimizer", "adam", "--nodes", "2", "--slow-node", "1:5"}, 200))
          == undisturbed_digest());
}

TEST_CASE("the sudden death of a node ends the run with its name", "[process]") {
  auto run = process::start(endless({"--nodes", "2", "--listen", "127.0.0.1:0"}));
  const auto address = address_of_run(run);
  REQUIRE(run.wait_for_output("Step 20 ", 60s));
  auto guest = process::start({program("troupe"), "node", "--join", address, "--name", "guest"});
  REQUIRE(run.wait_for_output("Node guest joined", 60s));
  const auto all = children_of(run.pid());
  const auto victim = process_of_node(run, "node-2");
  REQUIRE(victim != 0);
  const auto killed_at = std::chrono::steady_clock::now();
  ::kill(victim, SIGKILL);
  const auto end = run.wait(10s);
  REQUIRE(end);
  INFO(run.output() << run.errors());
  REQUIRE(std::chrono::steady_clock::now() - killed_at < 3s);
  REQUIRE(end->code == 1);
  REQUIRE(run.errors().find("node-2") != std::string::npos);
  for (auto child : all) REQUIRE_FALSE(is_running(child));
  const auto guest_end = guest.wait(10s);
  INFO(guest.output() << guest.errors());
  REQUIRE(guest_end == exit_status{1, 0});
  REQUIRE(guest.errors().starts_with("troupe: error: [node] the run has failed: [node] node-2 "));
}

TEST_CASE("the sudden death of a node without experts is a warning, and changes no bit", "[process]") {
  const std::vector<std::string> command{
    program("troupe"), "train",       "--data",         "gaussian", "--num-experts",      "2",
    "--max-steps",     "100",         "--log-interval", "10",       "--message-delay-ms", "4",
    "--listen",        "127.0.0.1:0", "--print-digest"};
  const auto with = [&](const std::string& nodes) {
    auto result = command;
    result.insert(result.end(), {"--nodes", nodes});
    return result;
  };
  auto run = process::start(with("3"));
  const auto address = address_of_run(run);
  REQUIRE(run.wait_for_output("Step 10 ", 60s));
  // However slow the machine, it dies in the middle: at least one of these two has experts.
  std::optional<paused> first(process_of_node(run, "node-1")), second(process_of_node(run, "node-2"));
  const auto victim = idle_node(address);
  ::kill(process_of_node(run, victim), SIGKILL);
  REQUIRE(run.wait_for_errors("the run goes on without it", 30s));
  REQUIRE(run.wait_for_output("Node " + victim + " lost", 30s));
  first.reset();
  second.reset();
  const auto end = run.wait(60s);
  INFO(run.output() << run.errors());
  REQUIRE(end);
  REQUIRE(end->success());
  REQUIRE(run.errors().starts_with("troupe: warning: [run] node " + victim));
  REQUIRE(digest_in(run.output()) == digest_of_run(with("1")));
}
