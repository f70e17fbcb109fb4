#include "launcher/ablate/progress.hpp"

#include "launcher/format.hpp"
#include "launcher/terminal.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

namespace troupe::ablate {

namespace {

double done_share(const std::vector<running_cell>& running) {
  double sum = 0;
  for (const auto& each : running) sum += each.share();
  return sum;
}

std::string with_bar(double share, const std::string& facts, std::size_t columns, bool utf8) {
  const auto percent = fmt::format("{:>3.0f}% ", 100 * share);
  const auto taken = percent.size() + launcher::columns_of(facts) + 3;
  const auto room = columns > taken ? columns - taken : 0;
  return percent + (room >= 4 ? "|" + launcher::bar(share, std::min<std::size_t>(40, room), utf8) + "|" : "")
         + facts;
}

std::string cell_line(const running_cell& each) {
  if (each.last.step == 0) return "       " + each.name + "  starting ...";
  const auto line = fmt::format("  {:>3.0f}% {}  loss {:.4f}", 100 * each.share(), each.name, each.last.loss);
  const auto rate = each.last.samples_per_second;
  return rate > 0 ? line + fmt::format("  {} samples/s", launcher::short_count(rate)) : line;
}

} // namespace

double running_cell::share() const {
  return steps == 0 ? 0 : std::min(1.0, static_cast<double>(last.step) / static_cast<double>(steps));
}

double seconds_left(const cell_counts& counts, const std::vector<running_cell>& running, double seconds) {
  const auto under_way = done_share(running);
  const auto done = static_cast<double>(counts.finished + counts.failed) + under_way;
  if (done < 0.05 || seconds < 0.5) return -1;
  return seconds / done * (static_cast<double>(counts.left()) - under_way);
}

std::vector<std::string> progress_lines(const cell_counts& counts, const std::vector<running_cell>& running,
                                        double seconds_left, std::size_t columns, bool utf8) {
  const auto ended = counts.all - counts.left();
  const auto share = counts.all == 0
                       ? 0
                       : (static_cast<double>(ended) + done_share(running)) / static_cast<double>(counts.all);
  auto facts = fmt::format("  {} of {}", ended, launcher::counted(counts.all, "cell"));
  if (counts.failed > 0) facts += fmt::format(", {} failed", counts.failed);
  if (seconds_left >= 0) facts += fmt::format("  {} left", launcher::duration(seconds_left));
  std::vector<std::string> lines = {with_bar(share, facts, columns, utf8)};
  for (const auto& each : running) lines.push_back(cell_line(each));
  return lines;
}

} // namespace troupe::ablate
