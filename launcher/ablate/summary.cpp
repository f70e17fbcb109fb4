#include "launcher/ablate/summary.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace troupe::ablate {

statistic statistic_of(std::span<const double> values) {
  constexpr auto none = std::numeric_limits<double>::quiet_NaN();
  statistic result{0, none, none};
  double sum = 0;
  for (const auto value : values)
    if (std::isfinite(value)) {
      sum += value;
      ++result.count;
    }
  if (result.count == 0) return result;
  result.mean = sum / static_cast<double>(result.count);
  if (result.count == 1) return result;
  double squares = 0;
  for (const auto value : values)
    if (std::isfinite(value)) squares += (value - result.mean) * (value - result.mean);
  result.deviation = std::sqrt(squares / static_cast<double>(result.count - 1));
  return result;
}

const group_measure* group::find(std::string_view wanted) const {
  const auto found = std::ranges::find(measures, wanted, &group_measure::name);
  return found == measures.end() ? nullptr : &*found;
}

namespace {

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (std::ranges::find(names, name) == names.end()) names.push_back(name);
}

void summarise(group& into, const std::vector<outcome>& outcomes) {
  std::vector<std::string> names;
  std::map<std::string, std::vector<double>> values;
  std::map<std::string, std::optional<double>> balances;
  for (const auto index : into.cells) {
    const auto& result = outcomes[index].result;
    if (!result) continue;
    ++into.finished;
    for (const auto& each : result->measures) {
      add_once(names, each.name);
      values[each.name].push_back(each.value);
      balances[each.name] = each.at_balance;
    }
  }
  for (const auto& name : names) into.measures.push_back({name, balances[name], statistic_of(values[name])});
}

} // namespace

std::vector<group> groups_of(const std::vector<cell>& cells, const std::vector<outcome>& outcomes) {
  std::vector<group> result;
  std::map<std::string, std::size_t> known;
  for (std::size_t index = 0; index < cells.size(); ++index) {
    const auto& each = cells[index];
    const auto [at, fresh] = known.emplace(each.repeats, result.size());
    if (fresh) {
      result.push_back({each.group, each.what.labels, {}, 0, {}});
      std::erase_if(result.back().labels, [](const auto& label) { return label.first == seed_key; });
    }
    result[at->second].cells.push_back(index);
  }
  for (auto& each : result) summarise(each, outcomes);
  return result;
}

std::vector<std::string> axis_names(const ablation& all) {
  std::vector<std::string> names;
  for (const auto& each : all.cells)
    for (const auto& [axis, label] : each.what.labels) add_once(names, axis);
  for (const auto& each : all.refused)
    for (const auto& [axis, label] : each.what.labels) add_once(names, axis);
  return names;
}

std::vector<std::string> measure_names(const std::vector<outcome>& outcomes) {
  std::vector<std::string> names;
  for (const auto& each : outcomes)
    if (each.result)
      for (const auto& measure : each.result->measures) add_once(names, measure.name);
  return names;
}

} // namespace troupe::ablate
