#include "launcher/ablate/cell_runner.hpp"
#include "launcher/ablate/report.hpp"
#include "launcher/ablate/tables.hpp"
#include "launcher/commands.hpp"
#include "launcher/console.hpp"
#include "launcher/format.hpp"
#include "launcher/node_program.hpp"
#include "launcher/version.hpp"
#include "model/checkpoint/file.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <filesystem>

namespace troupe::launcher {

namespace {

using namespace ablate;

constexpr std::size_t refused_groups_shown = 5;

int print_cells(const cell_plan& plan) {
  for (const auto& each : plan.cells) print_text(fmt::format("{}  {}\n", each.hash.substr(0, 16), each.name));
  print_text(counted(plan.cells.size(), "cell") + "\n");
  print_text(refused_text(plan.refused, plan.refused.size()));
  return exit_success;
}

std::filesystem::path folder_of(const ablate_options& options) {
  if (!options.out.empty()) return options.out;
  return std::filesystem::path(options.matrix).stem().string() + "-ablation";
}

/// Fills in what earlier starts have finished; returns the cells that are left.
std::deque<std::size_t> take_earlier(ablation& all, const result_store& store) {
  std::deque<std::size_t> left;
  std::size_t other_version = 0;
  for (std::size_t at = 0; at < all.cells.size(); ++at) {
    auto found = store.find(all.cells[at]);
    if (!found) print_warning(found.error().text + "; the cell runs again");
    if (!found || !*found) {
      left.push_back(at);
      continue;
    }
    other_version += (*found)->version == all.version ? 0 : 1;
    all.outcomes[at].result = std::move(**found);
  }
  if (other_version > 0)
    print_warning(
      fmt::format("{} of the earlier results come from another version of this program; delete {} to "
                  "compute them again",
                  other_version, store.path_of("cells").string()));
  if (const auto others = store.others_than(all.cells); others > 0)
    print_warning(
      fmt::format("{} in {} {} of no cell of this matrix; report and tables will show this matrix "
                  "alone",
                  counted(others, "result"), store.path_of("cells").string(), others == 1 ? "is" : "are"));
  return left;
}

expected<void> write_outputs(const ablation& all, const result_store& store) {
  const std::pair<const char*, std::string> files[] = {
    {"cells.csv", cells_csv(all)}, {"groups.csv", groups_csv(all)}, {"report.html", html_report(all)}};
  for (const auto& [name, text] : files)
    if (const auto written = write_file_atomically(store.path_of(name), text); !written) return written;
  return {};
}

/// Says how it ended, and decides the exit code.
int conclude(const ablation& all, const result_store& store, bool interrupted) {
  if (const auto written = write_outputs(all, store); !written) return print_error(written.error());
  const auto finished = std::ranges::count_if(all.outcomes,
                                              [](const auto& each) { return each.result.has_value(); });
  const auto failed = std::ranges::count_if(all.outcomes,
                                            [](const auto& each) { return !each.error.empty(); });
  print_text(fmt::format("\n{}\nReport: {}\n", groups_table(all), store.path_of("report.html").string()));
  if (const auto text = warnings_text(all); !text.empty()) print_warning(text);
  if (interrupted) {
    print_notice(fmt::format("interrupted with {} of {} finished; the same command goes on", finished,
                             counted(all.cells.size(), "cell")));
    return exit_interrupted;
  }
  if (failed == 0) return exit_success;
  return print_error(
    {error_code::unavailable,
     fmt::format("[ablate] {} of {} failed, the report says why; the same command tries them again", failed,
                 counted(all.cells.size(), "cell"))});
}

} // namespace

int run_ablate(const ablate_options& options) {
  const auto matrix = read_matrix(options.matrix);
  if (!matrix) return print_error(matrix.error());
  auto plan = plan_cells(*matrix, options.node_program);
  if (!plan) return print_error(plan.error());
  if (options.list) return print_cells(*plan);
  const auto jobs = jobs_within(core_count(), plan->cells, options.jobs);
  share_cores(core_count(), jobs, plan->cells);
  const auto store = result_store::open(folder_of(options));
  if (!store) return print_error(store.error());
  print_text(refused_text(plan->refused, refused_groups_shown));
  ablation all{std::filesystem::path(options.matrix).stem().string(),
               version_text(),
               std::move(plan->cells),
               {},
               std::move(plan->refused)};
  all.outcomes.resize(all.cells.size());
  auto todo = take_earlier(all, *store);
  print_text(fmt::format("{}, {} finished earlier, {} at a time\n", counted(all.cells.size(), "cell"),
                         all.cells.size() - todo.size(), jobs));
  flush_text(); // somebody may follow a file
  supervisor children;
  cell_runner runner(children, *store, all, std::move(todo), jobs);
  if (const auto ran = runner.run(); !ran) return print_error(ran.error());
  return conclude(all, *store, runner.interrupted());
}

} // namespace troupe::launcher
