#include "tests/launcher/launcher_fixture.hpp"

#include <algorithm>
#include <sstream>

namespace troupe::test {

namespace {

const std::string program = TROUPE_PROGRAM;

process_options options_with(const variables& environment) {
  process_options options;
  options.environment = environment;
  return options;
}

} // namespace

std::vector<std::string> with_fake_node(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), program);
  arguments.insert(arguments.end(), {"--node-program", FAKE_NODE_PROGRAM});
  return arguments;
}

process start_troupe(const std::vector<std::string>& arguments, const variables& environment, bool terminal) {
  auto options = options_with(environment);
  options.terminal = terminal;
  return process::start(with_fake_node(arguments), options);
}

finished_process run_troupe(const std::vector<std::string>& arguments, const variables& environment) {
  return run(with_fake_node(arguments), patience, options_with(environment));
}

finished_process run_plain(const std::vector<std::string>& arguments) {
  auto words = arguments;
  words.insert(words.begin(), program);
  return run(words, patience);
}

std::vector<pid_t> wait_for_children(const process& launcher, std::size_t count) {
  std::vector<pid_t> children;
  // A child that has been forked but not yet become the node program does not count.
  const auto enough = [&] {
    children = children_of(launcher.pid());
    std::erase_if(children, [](pid_t each) {
      const auto words = command_line_of(each);
      return words.empty() || words.front() != FAKE_NODE_PROGRAM;
    });
    return children.size() >= count;
  };
  wait_until(enough, patience);
  return children;
}

pid_t child_with(const std::vector<pid_t>& children, const std::string& word) {
  for (const auto child : children) {
    const auto words = command_line_of(child);
    if (std::find(words.begin(), words.end(), word) != words.end()) return child;
  }
  return -1;
}

bool all_gone(const std::vector<pid_t>& processes) {
  return wait_until([&] { return std::none_of(processes.begin(), processes.end(), is_running); }, patience);
}

nlohmann::json record_of(const temporary_directory& records, const std::string& name) {
  return nlohmann::json::parse(read_file(records / (name + ".json")), nullptr, false);
}

std::string value_of(const nlohmann::json& record, const std::string& flag) {
  const auto words = record.at("arguments").get<std::vector<std::string>>();
  const auto found = std::find(words.begin(), words.end(), flag);
  return found == words.end() || found + 1 == words.end() ? std::string() : *(found + 1);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

} // namespace troupe::test
