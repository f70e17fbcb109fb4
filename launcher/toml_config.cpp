#include "launcher/toml_config.hpp"

#include "launcher/option_group.hpp"
#include "launcher/toml_file.hpp"

#include <CLI/App.hpp>

#include <algorithm>
#include <numeric>

namespace troupe::launcher {

namespace {

struct toml_value {
  std::string text;
  bool boolean = false;
};

expected<toml_value> value_of(const toml::node& node) {
  if (node.is_boolean()) return toml_value{scalar_text(node), true};
  if (node.is_string() || node.is_number()) return toml_value{scalar_text(node)};
  return fail(error_code::usage, node.is_table() ? "a table" : node.is_array() ? "a list" : "a date or time");
}

/// One value, or those of a list where an option takes several.
expected<std::vector<toml_value>> values_of(const toml::node& node, bool takes_list) {
  std::vector<toml_value> out;
  const auto add = [&](const toml::node& each) -> expected<void> {
    auto value = value_of(each);
    if (!value) return tl::unexpected(value.error());
    out.push_back(std::move(*value));
    return {};
  };
  if (const auto* list = takes_list ? node.as_array() : nullptr) {
    for (const auto& each : *list)
      if (const auto good = add(each); !good) return tl::unexpected(good.error());
  } else if (const auto good = add(node); !good) {
    return tl::unexpected(good.error());
  }
  return out;
}

/// Error text of CLI11's validators without the name it puts in front: ours stands before it.
std::string reason_of(const CLI::ParseError& problem, const std::string& flag) {
  const std::string text = problem.what();
  return text.rfind(flag + ": ", 0) == 0 ? text.substr(flag.size() + 2) : text;
}

expected<void> apply_one(CLI::App& command, const std::string& key, const toml::node& node,
                         const std::string& place) {
  const auto refuse = [&](const std::string& text) {
    return fail(error_code::usage, "[" + place + "] " + key + ": " + text);
  };
  const auto flag = "--" + key;
  if (key == "config" || key == "help")
    return fail(error_code::usage, "[" + place + "] key '" + key + "' is for the command line only");
  auto* option = command.get_option_no_throw(flag);
  if (option == nullptr) {
    const auto meant = nearest(key, option_names(command));
    return fail(error_code::usage,
                "[" + place + "] unknown key '" + key + "'"
                  + (meant.empty() ? "; `troupe train --help` lists all, without dashes here"
                                   : "; did you mean '" + meant + "'?"));
  }
  const auto kind = kind_of(*option);
  const bool is_flag = kind == option_kind::toggle;
  const bool takes_list = kind == option_kind::texts;
  const auto values = values_of(node, takes_list);
  if (!values)
    return refuse("got " + values.error().text + ", limit "
                  + (takes_list ? "a text or a list of texts" : "one plain value"));
  if (kind == option_kind::number && node.is_string())
    return refuse("got '" + values->front().text + "', limit a number without quotes");
  for (const auto& value : *values)
    if (is_flag != value.boolean)
      return refuse("got " + value.text + ", limit " + (is_flag ? "true or false" : "a number or a text"));
  if (option->count() > 0 || values->empty()) return {}; // the command line wins
  try {
    for (const auto& value : *values)
      option->add_result(is_flag ? option->get_flag_value(key, value.text) : value.text);
    option->run_callback();
  } catch (const CLI::ParseError& problem) {
    return refuse(reason_of(problem, flag));
  }
  return {};
}

} // namespace

expected<void> apply_toml(CLI::App& command, const std::string& path) {
  const auto table = parse_toml_file("--config", path);
  if (!table) return tl::unexpected(table.error());
  for (const auto& [key, node] : *table) {
    const auto place = path + ":" + std::to_string(node.source().begin.line);
    if (const auto applied = apply_one(command, std::string(key.str()), node, place); !applied)
      return applied;
  }
  return {};
}

// ---- misspelt names -------------------------------------------------------------------------------------------------

namespace {

/// Levenshtein distance: insertions, deletions and replacements between two words.
std::size_t edits_between(const std::string& left, const std::string& right) {
  std::vector<std::size_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < left.size(); ++i) {
    auto diagonal = row[0]++;
    for (std::size_t j = 0; j < right.size(); ++j) {
      const auto replaced = diagonal + (left[i] == right[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

} // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  auto fewest = (word.size() <= 3 ? 1 : std::max<std::size_t>(2, word.size() / 3)) + 1;
  for (const auto& candidate : candidates) {
    const auto edits = edits_between(word, candidate);
    if (edits < fewest) {
      fewest = edits;
      best = candidate;
    }
  }
  return best;
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const auto* option : command.get_options())
    if (!option->get_group().empty()) // testing flags are not suggested
      for (const auto& name : option->get_lnames()) names.push_back(name);
  return names;
}

} // namespace troupe::launcher
