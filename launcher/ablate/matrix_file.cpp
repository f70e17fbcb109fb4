#include "launcher/ablate/matrix.hpp"
#include "launcher/option_group.hpp"
#include "launcher/options.hpp"
#include "launcher/toml_file.hpp"

#include <algorithm>

namespace troupe::ablate {

namespace {

using launcher::scalar_text;

/// Options that belong to one run of its own, with what the matrix has instead.
struct refused_key {
  const char* key;
  const char* instead;
};
constexpr refused_key refused_keys[] = {
  {"config", "write its options into this file"},
  {"metrics-file", "each cell's measures are in the folder of results"},
  {"save", "an ablation keeps measures, not models"},
  {"print-digest", "each cell's digest is in cells.csv anyway"},
  {"log-interval", "a cell is one line"},
  {"no-eval", "an ablation compares test accuracies"},
  {"nodes", "a cell is one process, which gives the same weights"},
  {"listen", "a cell is one process, which gives the same weights"},
  {"insecure", "a cell listens nowhere"},
  {"run-id", "nobody joins a cell"},
  {"slow-node", "a cell has no nodes"},
  {"bench-json", "times are in cells.csv"},
  {"help", "options only"},
};

using nodes_in_order = std::vector<std::pair<std::string, const toml::node*>>;

/// toml++ sorts keys by name; people mean the order of the file.
nodes_in_order in_file_order(const toml::table& table) {
  nodes_in_order result;
  for (const auto& [key, node] : table) result.emplace_back(std::string(key.str()), &node);
  const auto position = [](const auto& entry) {
    const auto begin = entry.second->source().begin;
    return std::pair(begin.line, begin.column);
  };
  std::ranges::stable_sort(result, {}, position);
  return result;
}

bool is_scalar(const toml::node& node) {
  return node.is_string() || node.is_number() || node.is_boolean();
}

class reader {
public:
  explicit reader(std::string file) : file_(std::move(file)) {}

  expected<matrix> read(const toml::table& table) const {
    matrix result;
    result.file = file_;
    for (const auto& [key, node] : in_file_order(table)) {
      const auto read = key == "vary" ? read_axes(*node, result.axes)
                        : key == "exclude" || key == "include"
                          ? read_rows(key, *node, key == "exclude" ? result.exclude : result.include)
                          : read_fixed(key, *node, result.fixed);
      if (!read) return tl::unexpected(read.error());
    }
    return result;
  }

private:
  std::string place(const toml::node& node) const {
    return file_ + ":" + std::to_string(node.source().begin.line);
  }

  tl::unexpected<error> refuse(const toml::node& node, const std::string& key, const std::string& why) const {
    return fail(error_code::usage, "[" + place(node) + "] " + key + ": " + why);
  }

  /// A value, or a list of values where an option takes several. A `condition` may be a label instead.
  expected<setting> read_setting(const std::string& key, const toml::node& node,
                                 bool condition = false) const {
    for (const auto& each : refused_keys)
      if (key == each.key) return refuse(node, key, std::string("not in an ablation: ") + each.instead);
    const auto kind = launcher::train_option_kind(key); // unknown names are the parser's to refuse
    if (kind && kind != launcher::option_kind::texts && node.is_array())
      return refuse(node, key,
                    "got a list, limit one value; put it under [vary], where each value is a cell");
    if (kind == launcher::option_kind::number && node.is_string() && !condition)
      return refuse(node, key, "got '" + scalar_text(node) + "', limit a number without quotes");
    setting result{key, {}, place(node)};
    if (is_scalar(node)) {
      result.values = {scalar_text(node)};
      return result;
    }
    const auto* list = node.as_array();
    if (list == nullptr)
      return refuse(node, key,
                    node.is_table()
                      ? "got a table, limit a value or a list; lists to vary over stand in [vary]"
                      : "got a date or time, limit a number, a text, true or false");
    for (const auto& each : *list) {
      if (!is_scalar(each)) return refuse(each, key, "got a list in a list or a table, limit plain values");
      result.values.push_back(scalar_text(each));
    }
    if (result.values.empty()) return refuse(node, key, "got an empty list, limit one value or more");
    return result;
  }

  expected<void> read_fixed(const std::string& key, const toml::node& node,
                            std::vector<setting>& into) const {
    auto one = read_setting(key, node);
    if (!one) return tl::unexpected(one.error());
    into.push_back(std::move(*one));
    return {};
  }

  /// Settings of a table; `label`, where one may be given, is taken out.
  expected<std::vector<setting>> read_table(const std::string& name, const toml::node& node,
                                            std::string* label) const {
    const auto* table = node.as_table();
    if (table == nullptr || table->empty())
      return refuse(node, name, "limit a table with one option or more, such as { router = \"switch\" }");
    std::vector<setting> result;
    for (const auto& [key, value] : in_file_order(*table)) {
      if (label != nullptr && key == "label") {
        if (!value->is_string()) return refuse(*value, name + ".label", "limit a text");
        *label = scalar_text(*value);
        continue;
      }
      auto one = read_setting(key, *value, name == "exclude");
      if (!one) return tl::unexpected(one.error());
      result.push_back(std::move(*one));
    }
    return result;
  }

  expected<choice> read_choice(const std::string& name, const toml::node& node) const {
    choice result;
    if (!node.is_table()) {
      auto one = read_setting(name, node);
      if (!one) return tl::unexpected(one.error());
      return choice{one->text(), {*one}};
    }
    auto settings = read_table("vary." + name, node, &result.label);
    if (!settings) return tl::unexpected(settings.error());
    result.settings = std::move(*settings);
    if (result.label.empty())
      for (const auto& each : result.settings)
        result.label += (result.label.empty() ? "" : ", ") + (each.key == name ? "" : each.key + "=")
                        + each.text();
    return result;
  }

  expected<void> read_axes(const toml::node& node, std::vector<axis>& into) const {
    const auto* table = node.as_table();
    if (table == nullptr)
      return refuse(node, "vary", "limit a table of lists, such as: [vary], then seed = [0, 1, 2]");
    for (const auto& [name, list] : in_file_order(*table)) {
      const auto* entries = list->as_array();
      if (entries == nullptr || entries->empty())
        return refuse(*list, name, "limit a list of one value or more, such as [0, 1, 2]");
      axis made{name, {}};
      for (const auto& entry : *entries) {
        auto one = read_choice(name, entry);
        if (!one) return tl::unexpected(one.error());
        if (std::ranges::find(made.choices, one->label, &choice::label) != made.choices.end())
          return refuse(entry, name,
                        "got '" + one->label + "' twice, limit once; tables may have a label = \"...\"");
        made.choices.push_back(std::move(*one));
      }
      into.push_back(std::move(made));
    }
    return {};
  }

  expected<void> read_rows(const std::string& name, const toml::node& node,
                           std::vector<std::vector<setting>>& into) const {
    const auto* list = node.as_array();
    if (list == nullptr)
      return refuse(node, name, "limit tables: [[" + name + "]], then lines such as router = \"switch\"");
    for (const auto& each : *list) {
      auto row = read_table(name, each, nullptr);
      if (!row) return tl::unexpected(row.error());
      into.push_back(std::move(*row));
    }
    return {};
  }

  std::string file_;
};

} // namespace

expected<matrix> read_matrix(const std::string& path) {
  const auto table = launcher::parse_toml_file("matrix", path);
  if (!table) return tl::unexpected(table.error());
  return reader(path).read(*table);
}

} // namespace troupe::ablate
