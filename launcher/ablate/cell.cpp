#include "launcher/ablate/cell.hpp"

#include "launcher/ablate/data_identity.hpp"
#include "launcher/command_line.hpp"
#include "model/sha256.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <variant>

namespace troupe::ablate {

namespace {

using labels = std::vector<std::pair<std::string, std::string>>;

/// "num-experts 4" where one axis tells cells apart, "router=switch, num-experts=8" where several do.
std::string group_name(labels all) {
  std::erase_if(all, [](const auto& each) { return each.first == seed_key; });
  if (all.empty()) return "all";
  if (all.size() == 1) return all.front().first + " " + all.front().second;
  std::string name;
  for (const auto& [axis, label] : all) name += (name.empty() ? "" : ", ") + axis + "=" + label;
  return name;
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

/// The command line that settings stand for: one parser, one set of checks.
std::vector<std::string> command_line_of(const std::vector<setting>& settings,
                                         const std::string& node_program) {
  std::vector<std::string> words = {"train", "--print-digest", "--log-interval=0"};
  for (const auto& each : settings)
    for (const auto& value : each.values)
      if (each.key != "node-program" || node_program.empty()) words.push_back("--" + each.key + "=" + value);
  if (!node_program.empty()) words.push_back("--node-program=" + node_program);
  return words;
}

/// Says where the refused option stands, or else which cell it is about.
error placed(const refused_cell& which, const std::string& file) {
  auto place = file;
  for (const auto& each : which.what.settings)
    if (which.reason.starts_with("--" + each.key + ":") || which.reason.starts_with("--" + each.key + " "))
      place = each.place;
  return {error_code::usage, "[" + place + "] cell " + which.name + ": " + which.reason};
}

/// What the result is a function of: configuration, node program and the data that is read.
std::string hash_of_cell(const launcher::train_options& options, data_identities& data) {
  const auto configuration = hash_of(options.config);
  const auto identity = data.of(options.config.data);
  if (options.node_program.empty() && identity.empty()) return configuration;
  return sha256_hex(configuration + "\n" + options.node_program + "\n" + identity);
}

/// The options of a combination and their hash. Errors: why no training run can have them.
expected<void> complete(cell& made, data_identities& data, const std::string& node_program) {
  const auto parsed = launcher::read_command_line(command_line_of(made.what.settings, node_program));
  if (!parsed) return tl::unexpected(parsed.error());
  const auto* options = std::get_if<launcher::train_options>(&*parsed);
  if (options == nullptr) return fail(error_code::usage, "is no training run");
  made.options = *options;
  made.hash = hash_of_cell(*options, data);
  return {};
}

bool has_label(const combination& of, const labels::value_type& label) {
  return std::ranges::find(of.labels, label) != of.labels.end();
}

/// What a label stands for: the choice of an axis, or one option of an [[include]].
std::vector<setting> settings_of(const labels::value_type& label, const combination& of, const matrix& all) {
  for (const auto& axis : all.axes)
    for (const auto& choice : axis.choices)
      if (axis.name == label.first && choice.label == label.second) return choice.settings;
  std::vector<setting> result;
  std::ranges::copy_if(of.settings, std::back_inserter(result),
                       [&](const setting& each) { return each.key == label.first; });
  return result;
}

/// What is left out must be the fault of a combination. A choice that nothing can be combined with, and that
/// `troupe train` refuses by itself as well, is a mistake.
expected<void> check_refused(const cell_plan& plan, const matrix& all, const std::string& node_program) {
  if (plan.refused.empty()) return {};
  if (plan.cells.empty()) return tl::unexpected(placed(plan.refused.front(), all.file));
  std::set<labels::value_type> seen;
  for (const auto& each : plan.refused)
    for (const auto& label : each.what.labels) {
      if (!seen.insert(label).second) continue;
      if (std::ranges::any_of(plan.cells, [&](const cell& good) { return has_label(good.what, label); }))
        continue;
      const auto alone = settings_of(label, each.what, all);
      if (!launcher::read_command_line(command_line_of(alone, node_program)))
        return tl::unexpected(placed(each, all.file));
    }
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

expected<cell_plan> plan_cells(const matrix& all, const std::string& node_program) {
  auto combinations = expand(all);
  if (!combinations) return tl::unexpected(combinations.error());
  cell_plan plan;
  data_identities data;
  for (auto& each : *combinations) {
    cell made;
    made.group = group_name(each.labels);
    made.name = cell_name(made.group, each.labels);
    made.repeats = identity_without_seed(each.settings);
    made.what = std::move(each);
    if (const auto good = complete(made, data, node_program))
      plan.cells.push_back(std::move(made));
    else
      plan.refused.push_back({made.name, made.group, std::move(made.what), good.error().text});
  }
  if (const auto good = check_refused(plan, all, node_program); !good) return tl::unexpected(good.error());
  if (const auto good = check_distinct(plan.cells, all.file); !good) return tl::unexpected(good.error());
  return plan;
}

} // namespace troupe::ablate
