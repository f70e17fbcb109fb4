// A node program that computes nothing: it speaks the launcher's events and does what FAKE_HEAD and FAKE_NODE
// say, so that every way in which a process can end has a test. Head and nodes hold real connections: nodes
// end when their head does.
//
// FAKE_HEAD: normal | wait | stubborn | crash | usage | silent | garbage | warn | incomplete | idle (node-2
// is; goes on when a node has gone) | late (the same, but then it fails)
// FAKE_NODE: normal | refused | exit | renamed | drained | last | told (that the run has failed)
// FAKE_NODE_RECORD=DIR: writes DIR/<role or name>.json with the command line and environment it was given.

#include <nlohmann/json.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using json = nlohmann::ordered_json;

std::map<std::string, std::string> flags;
std::string behaviour;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void emit(const json& event) {
  const auto line = event.dump() + "\n";
  if (::write(std::stoi(flags.at("--events-fd")), line.data(), line.size()) < 0) std::_Exit(99);
}

/// Flags with a value are what follows them; a flag before another flag has none.
void read_flags(const std::vector<std::string>& words) {
  for (std::size_t at = 2; at < words.size(); ++at)
    if (words[at].rfind("--", 0) == 0)
      flags[words[at]] = at + 1 < words.size() && words[at + 1].rfind("--", 0) != 0 ? words[at + 1] : "";
}

void record(const std::vector<std::string>& words) {
  const auto folder = environment("FAKE_NODE_RECORD");
  if (folder.empty()) return;
  json variables;
  for (const char* name : {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "MKL_DYNAMIC", "MKL_CBWR"})
    variables[name] = environment(name);
  const auto name = flags.contains("--name") ? flags["--name"] : words.at(1);
  std::ofstream(folder + "/" + name + ".json")
    << json{{"arguments", words}, {"environment", variables}, {"group", ::getpgrp()}};
}

[[noreturn]] void wait_for_ever() {
  for (;;) ::pause();
}

// ---- head -----------------------------------------------------------------------------------------------------------

json step_event(int step, int of) {
  return {{"event", "step"},
          {"step", step},
          {"of", of},
          {"epoch", 0},
          {"loss", 0.48213},
          {"aux", 1.03118},
          {"z", 0.0},
          {"lr", 1e-3},
          {"samples_per_second", 81234.0},
          {"expert_rows", {{64, 32, 32, 128}}},
          {"entropy", 1.2},
          {"dead_experts", 0},
          {"bytes_sent", 4096},
          {"losses", {{"switch", {{"value", 1.03118}, {"at_balance", 1.0}}}}}};
}

/// Takes `nodes` connections on a loopback port that it announces.
std::vector<int> take_nodes(std::size_t nodes) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof where;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&where), size) != 0 || ::listen(listener, 16) != 0)
    std::_Exit(98);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&where), &size);
  emit(
    {{"event", "listening"}, {"host", "127.0.0.1"}, {"port", ntohs(where.sin_port)}, {"run_id", "fake-run"}});
  std::vector<int> connections;
  for (std::size_t node = 1; node <= nodes; ++node) {
    connections.push_back(::accept(listener, nullptr, nullptr));
    emit({{"event", "node"},
          {"node", node},
          {"name", "node-" + std::to_string(node)},
          {"state", "joined"},
          {"reason", ""}});
  }
  return connections;
}

/// Says that node-2 has no experts, and goes on when a node has gone.
void await_loss(const std::vector<int>& connections) {
  emit({{"event", "idle"}, {"names", {"node-2"}}});
  emit(step_event(300, 469)); // after it
  std::vector<pollfd> polled;
  for (const auto each : connections) polled.push_back({each, POLLIN, 0});
  ::poll(polled.data(), polled.size(), -1);
}

int misbehave() {
  if (behaviour == "crash") {
    std::fputs("first line\nthe last words\n", stderr);
    std::fflush(stderr);
    ::raise(SIGKILL);
  }
  if (behaviour == "usage") {
    emit({{"event", "error"}, {"code", "usage"}, {"text", "--save: got /, limit an empty directory"}});
    return 2;
  }
  if (behaviour == "failed" || behaviour == "late") {
    emit({{"event", "error"},
          {"code", "not_found"},
          {"text", "[data] package dataset-fashion-mnist is missing"}});
    return 1;
  }
  if (behaviour == "garbage") {
    const std::string line = "terminate called after\n";
    return ::write(std::stoi(flags.at("--events-fd")), line.data(), line.size()) < 0 ? 1 : 0;
  }
  if (behaviour == "wait" || behaviour == "stubborn") wait_for_ever();
  return 0; // silent
}

int head() {
  if (behaviour == "stubborn") ::signal(SIGTERM, SIG_IGN);
  const auto run = json::parse(flags.at("--run"));
  std::vector<int> connections;
  const auto nodes = run.at("nodes").get<std::size_t>();
  if (flags.contains("--listen") || nodes > 0) connections = take_nodes(nodes);
  const bool training = flags.at("--task") == "train";
  const int steps = 469;
  if (training)
    emit({{"event", "start"}, {"train_steps", steps}, {"steps_per_epoch", steps}, {"aux_name", "switch"}});
  for (const int step : {1, 50, 100, 200, 250})
    if (training) emit(step_event(step, steps));
  if (behaviour == "warn")
    emit({{"event", "warning"}, {"text", "expert 3 has had no row for 100 steps"}});
  else if (behaviour == "idle" || behaviour == "late")
    await_loss(connections);
  if (!std::set<std::string>{"", "normal", "incomplete", "warn", "idle"}.contains(behaviour))
    return misbehave();
  emit({{"event", "an event of the future"}, {"x", 1}});
  emit({{"event", "evaluation"},
        {"accuracy", 0.8431},
        {"loss", 0.4432},
        {"rows", 10000},
        {"epoch", 1},
        {"expert_rows", {{5000, 2500, 2500, 10000}}}});
  if (flags.contains("--print-digest")) emit({{"event", "digest"}, {"sha256", std::string(64, 'a')}});
  if (flags.contains("--save")) emit({{"event", "saved"}, {"directory", flags["--save"]}});
  emit({{"event", "done"}, {"seconds", 1.25}, {"samples_per_second", 48000.0}});
  if (behaviour != "incomplete") return 0;
  emit({{"event", "error"}, {"code", "unavailable"}, {"text", "--metrics-file: cannot write all of m"}});
  return 1;
}

// ---- the other commands ---------------------------------------------------------------------------------------------

/// Ends once somebody has asked a head to drain: by the record of it.
int wait_for_drain() {
  const auto asked = environment("FAKE_NODE_RECORD") + "/drain.json";
  while (::access(asked.c_str(), F_OK) != 0) ::usleep(1000);
  return 0;
}

int drain() {
  if (behaviour != "last") return 0;
  std::fputs("troupe-node: error: [drain] second is the last node with experts\n", stderr);
  return 2;
}

int join() {
  if (behaviour == "refused") {
    emit({{"event", "error"},
          {"code", "mismatch"},
          {"text", "[join] run id: got other, limit fake-run; pass --run-id fake-run"}});
    return 1;
  }
  const auto where = flags.at("--head");
  const auto colon = where.rfind(':');
  sockaddr_in target{};
  target.sin_family = AF_INET;
  target.sin_port = htons(static_cast<std::uint16_t>(std::stoi(where.substr(colon + 1))));
  ::inet_pton(AF_INET, where.substr(0, colon).c_str(), &target.sin_addr);
  const int connection = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(connection, reinterpret_cast<sockaddr*>(&target), sizeof target) != 0) {
    emit({{"event", "error"}, {"code", "unavailable"}, {"text", "[join] no head at " + where}});
    return 1;
  }
  const auto name = behaviour == "renamed" || !flags.contains("--name") ? "node-3" : flags["--name"];
  emit({{"event", "joined"}, {"node", 3}, {"name", name}, {"run_id", "fake-run"}});
  if (behaviour == "exit") return 3;
  if (behaviour == "drained") {
    const auto code = wait_for_drain();
    emit({{"event", "node"}, {"name", name}, {"state", "left"}, {"reason", "on request"}});
    return code;
  }
  if (behaviour == "told") {
    emit({{"event", "error"}, {"code", "run_failed"}, {"text", "[node] the run has failed"}});
    return 1;
  }
  char byte = 0;
  while (::recv(connection, &byte, 1, 0) > 0) {
  }
  return 0;
}

int status() {
  if (flags.at("--head") == "127.0.0.1:9") {
    std::fputs("troupe-node: error: [status] no head at 127.0.0.1:9\n", stderr);
    return 1;
  }
  std::puts(
    R"({"run_id": "fake-run", "step": 120, "of": 469, "nodes": [{"node": 0, "name": "head", "experts": [0, 1, 3]}]})");
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv, argv + argc);
  read_flags(words);
  record(words);
  const auto& command = words.at(1);
  behaviour = environment(command == "head" ? "FAKE_HEAD" : "FAKE_NODE");
  if (command == "head") return head();
  if (command == "join") return join();
  return command == "status" ? status() : drain();
}
