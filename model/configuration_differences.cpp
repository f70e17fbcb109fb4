#include "model/configuration.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace troupe {

namespace {

using ordered_json = nlohmann::ordered_json;

constexpr std::size_t keys_named_max = 3;
constexpr std::size_t value_length_max = 200;

std::string told_value(const ordered_json& value) {
  const auto text = value.dump(-1, ' ', true, ordered_json::error_handler_t::replace);
  return text.size() > value_length_max ? text.substr(0, value_length_max - 3) + "..." : text;
}

/// Adds a line for each value that differs, in the order of the fields. Lists are compared value by value
/// only if they are of one length.
void compare(const std::string& key, const ordered_json& run, const ordered_json& given,
             std::vector<std::string>& lines) {
  if (run == given) return;
  if (run.is_object()) {
    for (const auto& [name, value] : run.items())
      compare(key.empty() ? name : key + "." + name, value, given.at(name), lines);
  } else if (run.is_array() && run.size() == given.size()) {
    for (std::size_t i = 0; i < run.size(); ++i)
      compare(key + "[" + std::to_string(i) + "]", run[i], given[i], lines);
  } else {
    lines.push_back(key + ": the run has " + told_value(run) + ", this node was given " + told_value(given));
  }
}

} // namespace

std::string differences(const configuration& run, const configuration& given) {
  auto expected = given;
  expected.data.directory = run.data.directory;
  std::vector<std::string> lines;
  compare("", ordered_json::parse(to_json(run)), ordered_json::parse(to_json(expected)), lines);
  std::string text;
  for (std::size_t i = 0; i < std::min(lines.size(), keys_named_max); ++i)
    text += (text.empty() ? "" : "; ") + lines[i];
  if (lines.size() > keys_named_max)
    text += "; and " + std::to_string(lines.size() - keys_named_max) + " more";
  return text;
}

} // namespace troupe
