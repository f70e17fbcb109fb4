#include "launcher/status_table.hpp"

#include "launcher/format.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <functional>

namespace troupe::launcher {

namespace {

using json = nlohmann::json;

std::string text_of(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// A field as text, formatted if it is a number; "-" when it is missing.
std::string cell(const json& fields, const char* name, const std::function<std::string(double)>& shown = {}) {
  const auto found = fields.find(name);
  if (found == fields.end() || found->is_null()) return "-";
  return shown && found->is_number() ? shown(found->get<double>()) : text_of(*found);
}

std::string bytes_cell(double bytes) {
  return byte_count(static_cast<std::uint64_t>(std::max(0.0, bytes)));
}

std::string experts_cell(const json& node) {
  const auto found = node.find("experts");
  if (found == node.end() || !found->is_array()) return "-";
  std::vector<unsigned> ids;
  for (const auto& each : *found)
    if (each.is_number_unsigned()) ids.push_back(each.get<unsigned>());
  return ids.empty() ? "none" : id_ranges(ids);
}

const std::vector<std::string> titles = {"Node",    "Name",   "State", "Place", "Threads",
                                         "Experts", "Rows/s", "In/s",  "Out/s"};

std::vector<std::string> row_of(const json& node) {
  return {cell(node, "node"),
          cell(node, "name"),
          cell(node, "state"),
          cell(node, "place"),
          cell(node, "compute_threads"),
          experts_cell(node),
          cell(node, "rows_per_second", short_count),
          cell(node, "bytes_in_per_second", bytes_cell),
          cell(node, "bytes_out_per_second", bytes_cell)};
}

/// Columns about which no node says anything are left out.
std::vector<std::vector<std::string>>
without_empty_columns(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::vector<std::string>> kept(rows.size());
  for (std::size_t column = 0; column < titles.size(); ++column) {
    const bool empty = std::all_of(rows.begin() + 1, rows.end(),
                                   [&](const auto& row) { return row[column] == "-"; });
    for (std::size_t row = 0; row < rows.size() && !empty; ++row) kept[row].push_back(rows[row][column]);
  }
  return kept;
}

std::string padded(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows)
    for (std::size_t column = 0; column < row.size(); ++column)
      widths[column] = std::max(widths[column], columns_of(row[column]));
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column)
      line += row[column] + std::string(widths[column] - columns_of(row[column]) + 2, ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

/// The steps of a run that has done some.
std::string steps_text(const json& status) {
  auto line = fmt::format(" | step {} of {}", cell(status, "step"), cell(status, "of"));
  line += fmt::format(" | epoch {}",
                      cell(status, "epoch", [](double epoch) { return fmt::format("{:.0f}", epoch + 1); }));
  line += fmt::format(" | loss {}",
                      cell(status, "loss", [](double loss) { return fmt::format("{:.4f}", loss); }));
  if (status.contains("seconds_since_step"))
    return line + fmt::format(" | no step for {} s", cell(status, "seconds_since_step", [](double seconds) {
                                return fmt::format("{:.0f}", seconds);
                              }));
  line += fmt::format(" | {} steps/s", cell(status, "steps_per_second", [](double rate) {
                        return rate < 100 ? fmt::format("{:.1f}", rate) : short_count(rate);
                      }));
  line += fmt::format(" | {} samples/s", cell(status, "samples_per_second", short_count));
  return line + fmt::format(" | {} sent per step", cell(status, "bytes_sent", bytes_cell));
}

std::string run_line(const json& status) {
  const auto run = "Run " + cell(status, "run_id");
  if (status.contains("step")) return run + steps_text(status) + "\n";
  if (!status.contains("nodes_awaited")) return run + " | no step yet\n";
  const auto awaited = cell(status, "nodes_awaited");
  return run + fmt::format(" | waiting for {} node{}\n", awaited, awaited == "1" ? "" : "s");
}

} // namespace

std::string id_ranges(std::vector<unsigned> ids) {
  std::sort(ids.begin(), ids.end());
  std::string text;
  for (std::size_t first = 0; first < ids.size();) {
    auto last = first;
    while (last + 1 < ids.size() && ids[last + 1] == ids[last] + 1) ++last;
    text += (text.empty() ? "" : ", ") + std::to_string(ids[first]);
    if (last > first) text += "-" + std::to_string(ids[last]);
    first = last + 1;
  }
  return text;
}

expected<std::string> status_table(const std::string& text) {
  const auto status = json::parse(text, nullptr, false);
  if (!status.is_object())
    return fail(error_code::malformed, "[status] answer of the node program: got `" + text.substr(0, 120)
                                         + "`, limit a JSON object; is it a troupe-node of this version?");
  std::vector<std::vector<std::string>> rows = {titles};
  const auto nodes = status.find("nodes");
  if (nodes != status.end() && nodes->is_array())
    for (const auto& node : *nodes)
      if (node.is_object()) rows.push_back(row_of(node));
  return run_line(status) + (rows.size() > 1 ? padded(without_empty_columns(rows)) : "");
}

} // namespace troupe::launcher
