#include "launcher/ablate/tables.hpp"

#include "launcher/format.hpp"
#include "launcher/terminal.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace troupe::ablate {

namespace {

using row = std::vector<std::string>;

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? "\"\"" : std::string(1, c);
  return result + "\"";
}

std::string csv_line(const row& fields) {
  std::string line;
  for (std::size_t at = 0; at < fields.size(); ++at) line += (at == 0 ? "" : ",") + quoted(fields[at]);
  return line + "\n";
}

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : "";
}

std::string number(const std::optional<double>& value) {
  return value ? number(*value) : "";
}

std::string label_of(const std::vector<std::pair<std::string, std::string>>& labels,
                     const std::string& axis) {
  for (const auto& [name, label] : labels)
    if (name == axis) return label;
  return "";
}

/// Measures whose value at balance differs between cells or is not obvious from the name.
std::vector<std::string> balanced_names(const std::vector<outcome>& outcomes,
                                        const std::vector<std::string>& names) {
  std::vector<std::string> result;
  for (const auto& name : names)
    if (std::ranges::any_of(outcomes, [&](const outcome& each) {
          const auto* found = each.result ? each.result->find(name) : nullptr;
          return found != nullptr && found->at_balance;
        }))
      result.push_back(name);
  return result;
}

std::string state_of(const outcome& each) {
  return each.result ? "finished" : each.error.empty() ? "not run" : "failed";
}

} // namespace

// ---- CSV ------------------------------------------------------------------------------------------------------------

std::string cells_csv(const ablation& all) {
  const auto axes = axis_names(all);
  const auto names = measure_names(all.outcomes);
  const auto balanced = balanced_names(all.outcomes, names);
  row header = {"cell"};
  header.insert(header.end(), axes.begin(), axes.end());
  header.push_back("state");
  header.insert(header.end(), names.begin(), names.end());
  for (const auto& name : balanced) header.push_back(name + "_at_balance");
  header.insert(header.end(), {"train_steps", "digest", "configuration", "error"});
  auto text = csv_line(header);
  for (std::size_t at = 0; at < all.cells.size(); ++at) {
    const auto& cell = all.cells[at];
    const auto& outcome = all.outcomes[at];
    const auto& result = outcome.result;
    row line = {cell.name};
    for (const auto& axis : axes) line.push_back(label_of(cell.what.labels, axis));
    line.push_back(state_of(outcome));
    for (const auto& name : names) {
      const auto* found = result ? result->find(name) : nullptr;
      line.push_back(found == nullptr ? "" : number(found->value));
    }
    for (const auto& name : balanced) {
      const auto* found = result ? result->find(name) : nullptr;
      line.push_back(found == nullptr ? "" : number(found->at_balance));
    }
    line.insert(line.end(), {result ? std::to_string(result->steps) : "", result ? result->digest : "",
                             cell.hash, outcome.error});
    text += csv_line(line);
  }
  for (const auto& each : all.refused) {
    row line(header.size());
    line.front() = each.name;
    for (std::size_t at = 0; at < axes.size(); ++at) line[1 + at] = label_of(each.what.labels, axes[at]);
    line[1 + axes.size()] = "refused";
    line.back() = each.reason;
    text += csv_line(line);
  }
  return text;
}

std::string groups_csv(const ablation& all) {
  auto axes = axis_names(all);
  std::erase(axes, seed_key);
  const auto names = measure_names(all.outcomes);
  const auto balanced = balanced_names(all.outcomes, names);
  row header = {"group"};
  header.insert(header.end(), axes.begin(), axes.end());
  header.insert(header.end(), {"cells", "finished"});
  for (const auto& name : names) {
    header.insert(header.end(), {name + "_mean", name + "_deviation"});
    if (std::ranges::find(balanced, name) != balanced.end()) header.push_back(name + "_at_balance");
  }
  auto text = csv_line(header);
  for (const auto& group : groups_of(all.cells, all.outcomes)) {
    row line = {group.name};
    for (const auto& axis : axes) line.push_back(label_of(group.labels, axis));
    line.insert(line.end(), {std::to_string(group.cells.size()), std::to_string(group.finished)});
    for (const auto& name : names) {
      const auto* found = group.find(name);
      line.push_back(found == nullptr ? "" : number(found->over_seeds.mean));
      line.push_back(found == nullptr ? "" : number(found->over_seeds.deviation));
      if (std::ranges::find(balanced, name) != balanced.end())
        line.push_back(found == nullptr ? "" : number(found->at_balance));
    }
    text += csv_line(line);
  }
  return text;
}

// ---- for people -----------------------------------------------------------------------------------------------------

namespace {

/// A column of the table: which measure, under which title, with how many decimals.
struct column {
  const char* measure;
  const char* title;
  int decimals;
};
constexpr column columns[] = {
  {"accuracy", "accuracy", 4},         {"load_max_over_mean", "load max/mean", 2},
  {"load_entropy_nats", "entropy", 3}, {"dead_experts", "dead", 1},
  {"dropped_share", "dropped", 3},
};

std::string mean_and_deviation(const statistic& of, int decimals) {
  if (of.count == 0) return "-";
  auto text = fmt::format("{:.{}f}", of.mean, decimals);
  if (of.count > 1) text += fmt::format(" ± {:.{}f}", of.deviation, decimals);
  return text;
}

/// The losses of a group with what balance would give: "switch 1.03 ± 0.01 (1)".
std::string losses_text(const group& of) {
  std::string text;
  for (const auto& each : of.measures) {
    if (!each.name.starts_with("loss_")) continue;
    text += (text.empty() ? "" : ", ") + each.name.substr(5) + " " + mean_and_deviation(each.over_seeds, 3);
    if (each.at_balance) text += fmt::format(" ({:.3g})", *each.at_balance);
  }
  return text.empty() ? "-" : text;
}

row table_row(const group& of) {
  row cells = {of.name, fmt::format("{}/{}", of.finished, of.cells.size())};
  for (const auto& each : columns) {
    const auto* found = of.find(each.measure);
    cells.push_back(found == nullptr ? "-" : mean_and_deviation(found->over_seeds, each.decimals));
  }
  cells.push_back(losses_text(of));
  const auto* rate = of.find("samples_per_second");
  cells.push_back(
    rate == nullptr || rate->over_seeds.count == 0 ? "-" : launcher::short_count(rate->over_seeds.mean));
  return cells;
}

std::string aligned(const std::vector<row>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& each : rows)
    for (std::size_t at = 0; at < each.size(); ++at)
      widths[at] = std::max(widths[at], launcher::columns_of(each[at]));
  std::string text;
  for (std::size_t line = 0; line < rows.size(); ++line) {
    for (std::size_t at = 0; at < widths.size(); ++at)
      text += "| " + rows[line][at] + std::string(widths[at] - launcher::columns_of(rows[line][at]) + 1, ' ');
    text += "|\n";
    if (line > 0) continue;
    for (const auto width : widths) text += "|" + std::string(width + 2, '-');
    text += "|\n";
  }
  return text;
}

} // namespace

std::string groups_table(const ablation& all) {
  row header = {"group", "seeds"};
  for (const auto& each : columns) header.push_back(each.title);
  header.insert(header.end(), {"losses (at balance)", "samples/s"});
  std::vector<row> rows = {header};
  for (const auto& each : groups_of(all.cells, all.outcomes)) rows.push_back(table_row(each));
  return aligned(rows);
}

std::string refused_text(const std::vector<refused_cell>& refused, std::size_t groups_max) {
  if (refused.empty()) return "";
  std::vector<std::string> lines;
  for (const auto& each : refused)
    if (auto line = each.group + ": " + each.reason; std::ranges::find(lines, line) == lines.end())
      lines.push_back(std::move(line));
  auto text = fmt::format("{} combination{} left out, which no run can have:\n", refused.size(),
                          refused.size() == 1 ? "" : "s");
  const auto shown = std::min(lines.size(), groups_max);
  for (std::size_t at = 0; at < shown; ++at) text += "  " + lines[at] + "\n";
  if (shown < lines.size())
    text += fmt::format("  ... and {} more, in cells.csv and the report\n", lines.size() - shown);
  return text;
}

std::string warnings_text(const ablation& all) {
  std::size_t warned = 0;
  std::string first;
  for (std::size_t at = 0; at < all.cells.size(); ++at) {
    const auto& result = all.outcomes[at].result;
    if (!result || result->warnings.empty()) continue;
    if (warned++ == 0) first = all.cells[at].name + ": " + result->warnings.front();
  }
  if (warned == 0) return "";
  return fmt::format("{} of {} warned, the first {}; see the report", warned,
                     launcher::counted(all.cells.size(), "cell"), first);
}

} // namespace troupe::ablate
