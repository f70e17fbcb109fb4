#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>

#include <csignal>
#include <fstream>
#include <regex>

namespace troupe::test {

std::string program(const std::string& name) {
  return std::string(TROUPE_BIN_DIR) + "/" + name;
}

std::vector<std::string> awkward_run(const std::vector<std::string>& more, int steps) {
  std::vector<std::string> command{program("troupe"),
                                   "train",
                                   "--data",
                                   "gaussian",
                                   "--num-experts",
                                   "7",
                                   "--num-experts-per-token",
                                   "3",
                                   "--expert-hidden-size",
                                   "50",
                                   "--expert-activation",
                                   "silu",
                                   "--batch-size",
                                   "22",
                                   "--num-microbatches",
                                   "4",
                                   "--lanes",
                                   "3",
                                   "--clip-norm",
                                   "0.5",
                                   "--weight-decay",
                                   "0.01",
                                   "--router-z-loss-coef",
                                   "0.001",
                                   "--seed",
                                   "5",
                                   "--max-steps",
                                   std::to_string(steps),
                                   "--log-interval",
                                   "10",
                                   "--print-digest"};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

std::string digest_in(const std::string& output) {
  std::smatch found;
  return std::regex_search(output, found, std::regex("digest ([0-9a-f]{64})")) ? found[1].str() : "";
}

std::string digest_of_run(const std::vector<std::string>& command, const process_options& options) {
  const auto done = run(command, std::chrono::minutes(2), options);
  INFO(done.output << done.errors);
  REQUIRE(done.status.success());
  const auto digest = digest_in(done.output);
  REQUIRE(digest.size() == 64);
  return digest;
}

std::vector<nlohmann::json> read_metrics(const std::string& path) {
  std::ifstream file(path);
  std::vector<nlohmann::json> result;
  for (std::string line; std::getline(file, line);) result.push_back(nlohmann::json::parse(line));
  return result;
}

std::map<int, std::uint64_t> rows_by_node(const std::vector<nlohmann::json>& metrics) {
  std::map<int, std::uint64_t> result;
  std::vector<int> placement;
  for (auto& line : metrics) {
    if (line["event"] != "step") continue;
    if (line.contains("placement")) placement = line["placement"].get<std::vector<int>>();
    const auto rows = line["expert_rows"][0].get<std::vector<std::uint64_t>>();
    for (std::size_t e = 0; e < rows.size(); ++e) result[placement.at(e)] += rows[e];
  }
  return result;
}

nlohmann::json status_of_run(const std::string& address) {
  const auto done = run({program("troupe"), "status", address, "--json"}, std::chrono::seconds(30));
  INFO(done.output << done.errors);
  REQUIRE(done.status.success());
  return nlohmann::json::parse(done.output);
}

int number_of_node(const std::string& address, const std::string& name) {
  const auto status = status_of_run(address);
  for (auto& node : status["nodes"])
    if (node["name"] == name) return node["node"];
  FAIL("no node is called " << name);
  return 0;
}

pid_t process_of_node(const process& run, const std::string& name) {
  for (const auto child : children_of(run.pid()))
    for (const auto& word : command_line_of(child))
      if (word == name) return child;
  return 0;
}

paused::paused(pid_t who) : who_(who) {
  ::kill(who_, SIGSTOP);
}

paused::~paused() {
  ::kill(who_, SIGCONT);
}

std::string address_of_run(process& run) {
  REQUIRE(run.wait_for_output("Listening", std::chrono::seconds(30)));
  std::smatch found;
  const auto output = run.output();
  REQUIRE(std::regex_search(output, found, std::regex("(127\\.0\\.0\\.1:[0-9]+)")));
  return found[1];
}

} // namespace troupe::test
