#include "launcher/ablate/cell.hpp"

#include "launcher/ablate/data_identity.hpp"
#include "launcher/command_line.hpp"
#include "model/sha256.hpp"

#include <algorithm>
#include <map>
#include <variant>

namespace troupe::ablate {

namespace {

using labels = std::vector<std::pair<std::string, std::string>>;

/// The only axis besides the seed; empty when there are several.
std::string only_axis(const matrix& all) {
  std::string name;
  for (const auto& each : all.axes)
    if (each.name != seed_key) {
      if (!name.empty()) return "";
      name = each.name;
    }
  return name;
}

/// "switch" where one axis tells cells apart, "router=switch, num-experts=8" where several do.
std::string group_name(const labels& all, const std::string& only_axis) {
  std::string name;
  std::size_t telling = 0;
  for (const auto& [axis, label] : all) {
    if (axis == seed_key) continue;
    ++telling;
    name += (name.empty() ? "" : ", ") + axis + "=" + label;
  }
  if (telling == 1 && name.starts_with(only_axis + "=")) return name.substr(only_axis.size() + 1);
  return telling == 0 ? "all" : name;
}

std::string cell_name(const std::string& group, const labels& all) {
  const auto seed = std::ranges::find(all, seed_key, &labels::value_type::first);
  return seed == all.end() ? group : group + ", seed=" + seed->second;
}

std::string identity_without_seed(std::vector<setting> settings) {
  std::ranges::sort(settings, {}, &setting::key);
  std::string text;
  for (const auto& each : settings)
    if (each.key != seed_key) text += each.key + "=" + each.text() + "\n";
  return text;
}

/// The command line that the cell stands for: one parser, one set of checks.
std::vector<std::string> command_line_of(const combination& what, const std::string& node_program) {
  std::vector<std::string> words = {"train", "--print-digest", "--log-interval=0"};
  for (const auto& each : what.settings)
    for (const auto& value : each.values)
      if (each.key != "node-program" || node_program.empty()) words.push_back("--" + each.key + "=" + value);
  if (!node_program.empty()) words.push_back("--node-program=" + node_program);
  return words;
}

/// Says where the refused option stands, or else which cell it is about.
error placed(const error& problem, const cell& of, const std::string& file) {
  for (const auto& each : of.what.settings)
    if (problem.text.starts_with("--" + each.key + ":"))
      return {problem.code, "[" + each.place + "] cell " + of.name + ": " + problem.text};
  return {problem.code, "[" + file + "] cell " + of.name + ": " + problem.text};
}

/// What the result is a function of: configuration, node program and the data that is read.
std::string hash_of_cell(const launcher::train_options& options, data_identities& data) {
  const auto configuration = hash_of(options.config);
  const auto identity = data.of(options.config.data);
  if (options.node_program.empty() && identity.empty()) return configuration;
  return sha256_hex(configuration + "\n" + options.node_program + "\n" + identity);
}

expected<void> complete(cell& made, data_identities& data, const std::string& file,
                        const std::string& node_program) {
  const auto parsed = launcher::read_command_line(command_line_of(made.what, node_program));
  if (!parsed) return tl::unexpected(placed(parsed.error(), made, file));
  const auto* options = std::get_if<launcher::train_options>(&*parsed);
  if (options == nullptr)
    return fail(error_code::usage, "[" + file + "] cell " + made.name + ": is no training run");
  made.options = *options;
  made.hash = hash_of_cell(*options, data);
  return {};
}

/// Of a list of [vary], two entries that mean the same run: some option has no effect on the result.
expected<void> check_distinct(const std::vector<cell>& cells, const std::string& file) {
  std::map<std::string, const cell*> known;
  for (const auto& each : cells)
    if (const auto [earlier, fresh] = known.emplace(each.hash, &each); !fresh)
      return fail(error_code::usage,
                  "[" + file + "] cells " + earlier->second->name + " and " + each.name
                    + " are the same run; vary options that change the result, and leave one out");
  return {};
}

/// Threads of a cell as far as the matrix says: one at least.
std::uint32_t threads_of(const cell& of) {
  return std::max(1U, of.options.run.compute_threads) * std::max(1U, of.options.config.intra_op_threads);
}

} // namespace

std::uint32_t jobs_within(std::uint32_t cores, const std::vector<cell>& cells, std::uint32_t wanted) {
  std::uint32_t widest = 1;
  for (const auto& each : cells) widest = std::max(widest, threads_of(each));
  const auto jobs = wanted > 0 ? wanted : std::max(1U, cores / widest);
  return std::min(jobs, std::max(1U, static_cast<std::uint32_t>(cells.size())));
}

void share_cores(std::uint32_t cores, std::uint32_t jobs, std::vector<cell>& cells) {
  for (auto& each : cells)
    if (each.options.run.compute_threads == 0)
      each.options.run.compute_threads = std::max(1U, cores / (jobs * threads_of(each)));
}

expected<std::vector<cell>> plan_cells(const matrix& all, const std::string& node_program) {
  auto combinations = expand(all);
  if (!combinations) return tl::unexpected(combinations.error());
  const auto axis = only_axis(all);
  std::vector<cell> cells;
  data_identities data;
  for (auto& each : *combinations) {
    cell made;
    made.group = group_name(each.labels, axis);
    made.name = cell_name(made.group, each.labels);
    made.repeats = identity_without_seed(each.settings);
    made.what = std::move(each);
    if (const auto good = complete(made, data, all.file, node_program); !good)
      return tl::unexpected(good.error());
    cells.push_back(std::move(made));
  }
  if (const auto good = check_distinct(cells, all.file); !good) return tl::unexpected(good.error());
  return cells;
}

} // namespace troupe::ablate
