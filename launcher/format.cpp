#include "launcher/format.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace troupe::launcher {

namespace {

std::uint64_t sum_of(const std::vector<std::uint64_t>& rows) {
  return std::accumulate(rows.begin(), rows.end(), std::uint64_t{0});
}

double share_of(std::uint64_t rows, std::uint64_t all) {
  return all == 0 ? 0 : static_cast<double>(rows) / static_cast<double>(all);
}

/// Load of the fullest expert over the mean load: 1 is perfect balance.
double max_over_mean(const std::vector<std::uint64_t>& rows) {
  const auto all = sum_of(rows);
  if (all == 0) return 0;
  const auto fullest = *std::max_element(rows.begin(), rows.end());
  return share_of(fullest, all) * static_cast<double>(rows.size());
}

std::string layer_name(std::size_t layer, std::size_t layers) {
  return layers == 1 ? std::string() : fmt::format("Layer {} ", layer);
}

} // namespace

// ---- numbers --------------------------------------------------------------------------------------------------------

std::string short_count(double value) {
  if (!std::isfinite(value)) return fmt::format("{}", value);
  if (std::abs(value) < 999.5) return fmt::format("{:.0f}", value);
  if (std::abs(value) < 999.95e3) return fmt::format("{:.1f}k", value / 1e3);
  return fmt::format("{:.2f}M", value / 1e6);
}

std::string grouped_count(std::uint64_t value) {
  auto text = std::to_string(value);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

std::string counted(std::uint64_t value, const std::string& noun) {
  return grouped_count(value) + " " + noun + (value == 1 ? "" : "s");
}

std::string byte_count(std::uint64_t bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

std::string duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
}

// ---- lines ----------------------------------------------------------------------------------------------------------

std::string step_line(const step_event& step, const std::string& aux_name) {
  auto line = fmt::format("Step {} | Loss: {:.4f}", step.step, step.loss);
  if (step.aux)
    line += fmt::format(" | Aux Loss{}: {:.4f}", aux_name == "switch" ? "" : " (" + aux_name + ")",
                        *step.aux);
  line += fmt::format(" | LR: {:.2e}", step.learning_rate);
  if (step.samples_per_second > 0)
    line += fmt::format(" | {} samples/s", short_count(step.samples_per_second));
  return line;
}

std::string losses_line(const step_event& step) {
  std::string line;
  for (const auto& [name, loss] : step.losses)
    line += fmt::format("{}{} {:.4f} ({:.4g} at balance)",
                        line.empty() ? "Router losses of the last step: " : ", ", name, loss.value,
                        loss.at_balance);
  return line;
}

std::string evaluation_line(const evaluation_event& evaluation, std::uint64_t steps,
                            std::uint64_t steps_per_epoch) {
  const auto whole = evaluation.epoch * steps_per_epoch;
  const auto epoch = steps_per_epoch > 0 && steps > whole ? fmt::format(
                       "{} (step {} of {})", evaluation.epoch + 1, steps - whole, steps_per_epoch)
                                                          : std::to_string(evaluation.epoch);
  return fmt::format("Epoch {} | Test accuracy: {:.4f} | Test loss: {:.4f} | {} rows", epoch,
                     evaluation.accuracy, evaluation.loss, grouped_count(evaluation.rows));
}

std::vector<std::string> load_table(const rows_per_expert& layers, bool utf8) {
  std::vector<std::string> lines;
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    const auto& rows = layers[layer];
    const auto all = sum_of(rows);
    const auto fullest = rows.empty() ? 0 : *std::max_element(rows.begin(), rows.end());
    lines.push_back(
      fmt::format("{:>8}  {:>12}  {:>6}", layer_name(layer, layers.size()) + "Expert", "Rows", "Share"));
    for (std::size_t expert = 0; expert < rows.size(); ++expert)
      lines.push_back(fmt::format("{:>8}  {:>12}  {:>5.1f}%  {}", expert, grouped_count(rows[expert]),
                                  100 * share_of(rows[expert], all),
                                  bar(share_of(rows[expert], fullest), 30, utf8)));
    const auto dead = std::count(rows.begin(), rows.end(), std::uint64_t{0});
    lines.push_back(fmt::format("{:>8}  {:>12}  fullest {:.2f} times the mean{}", "all", grouped_count(all),
                                max_over_mean(rows),
                                dead == 0 ? "" : fmt::format(", {} without a row", dead)));
  }
  return lines;
}

// ---- live display ---------------------------------------------------------------------------------------------------

namespace {

/// Up to this many experts of a layer get a bar each; more become one column each.
constexpr std::size_t experts_with_bar_max = 8;

std::string load_columns(const std::vector<std::uint64_t>& rows, bool utf8) {
  static const char* blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  static const char* letters[] = {"1", "2", "3", "4", "5", "6", "7", "8"};
  const auto fullest = std::max<std::uint64_t>(1, *std::max_element(rows.begin(), rows.end()));
  std::string text;
  for (const auto each : rows) {
    const auto level = std::min<std::size_t>(7, static_cast<std::size_t>(share_of(each, fullest) * 8));
    text += each == 0 ? " " : (utf8 ? blocks : letters)[level];
  }
  return text;
}

std::string load_bars(const std::vector<std::uint64_t>& rows, std::size_t width, bool utf8) {
  const auto all = sum_of(rows);
  const auto fullest = *std::max_element(rows.begin(), rows.end());
  std::string text;
  for (std::size_t expert = 0; expert < rows.size(); ++expert)
    text += fmt::format("{}{} {} {:>3.0f}%", expert == 0 ? "" : "  ", expert,
                        bar(share_of(rows[expert], fullest), width, utf8), 100 * share_of(rows[expert], all));
  return text;
}

std::string load_line(const std::vector<std::uint64_t>& rows, const std::string& name, std::size_t columns,
                      bool utf8) {
  const auto summary = fmt::format("  max/mean {:.2f}", max_over_mean(rows));
  const auto title = name + "load  ";
  const auto around = title.size() + summary.size() + rows.size() * 9; // "  0  99%" and a blank around each
                                                                       // bar
  if (rows.size() <= experts_with_bar_max && around + rows.size() * 3 <= columns)
    return title + load_bars(rows, std::min<std::size_t>(12, (columns - around) / rows.size()), utf8)
           + summary;
  const bool fits = title.size() + rows.size() + summary.size() <= columns;
  return title + load_columns(rows, utf8) + (fits ? summary : "");
}

/// What a line says, if there is room: a greater rank goes first.
struct field {
  std::string text;
  int rank = 0;
};

std::string fitting(std::vector<field> fields, std::size_t columns) {
  const auto text = [&] {
    std::string all;
    for (const auto& each : fields) all += "  " + each.text;
    return all;
  };
  while (!fields.empty() && text().size() > columns)
    fields.erase(std::ranges::max_element(fields, {}, &field::rank));
  return text();
}

std::string progress_line(const step_event& step, const start_event& start, double seconds_left,
                          std::size_t columns, bool utf8) {
  constexpr std::size_t bar_min = 4;
  constexpr std::size_t bar_max = 40;
  const auto of = std::max<std::uint64_t>(step.of, start.train_steps);
  std::vector<field> fields = {{fmt::format("{}/{}", step.step, of), 0}};
  if (start.steps_per_epoch > 0) fields.push_back({fmt::format("epoch {}", step.epoch + 1), 4});
  fields.push_back({fmt::format("loss {:.4f}", step.loss), 1});
  if (step.samples_per_second > 0)
    fields.push_back({fmt::format("{} samples/s", short_count(step.samples_per_second)), 2});
  if (seconds_left >= 0) fields.push_back({duration(seconds_left) + " left", 3});
  const auto share = share_of(step.step, of);
  const auto percent = fmt::format("{:>3.0f}% ", 100 * share);
  const auto around = percent.size() + 2; // the ends of the bar
  const auto facts = fitting(std::move(fields), columns - std::min(columns, around + bar_min));
  const auto room = columns - std::min(columns, around + facts.size());
  return percent + (room >= bar_min ? "|" + bar(share, std::min(bar_max, room), utf8) + "|" : "") + facts;
}

} // namespace

std::vector<std::string> live_lines(const step_event& step, const start_event& start, double seconds_left,
                                    std::size_t columns, bool utf8) {
  std::vector<std::string> lines = {progress_line(step, start, seconds_left, columns, utf8)};
  for (std::size_t layer = 0; layer < std::min<std::size_t>(4, step.expert_rows.size()); ++layer)
    if (!step.expert_rows[layer].empty())
      lines.push_back(
        load_line(step.expert_rows[layer], layer_name(layer, step.expert_rows.size()), columns, utf8));
  return lines;
}

} // namespace troupe::launcher
