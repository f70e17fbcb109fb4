#include "launcher/ablate/report.hpp"

#include "launcher/ablate/report_template.hpp"

#include <nlohmann/json.hpp>

namespace troupe::ablate {

namespace {

using json = nlohmann::ordered_json;

/// Where the template takes the data.
constexpr std::string_view data_mark = "{{data}}";

template <class Pairs>
json object_of(const Pairs& pairs) {
  auto result = json::object();
  for (const auto& [name, value] : pairs) result[name] = value;
  return result;
}

json value_of(const group_measure& each) {
  json value{{"mean", each.over_seeds.mean},
             {"deviation", each.over_seeds.deviation},
             {"count", each.over_seeds.count}};
  if (each.at_balance) value["at_balance"] = *each.at_balance;
  return value;
}

json value_of(const group& each) {
  auto measures = json::object();
  for (const auto& measure : each.measures) measures[measure.name] = value_of(measure);
  return {{"name", each.name},
          {"labels", object_of(each.labels)},
          {"cells", each.cells},
          {"finished", each.finished},
          {"measures", measures}};
}

json value_of(const cell& of, const outcome& how) {
  auto options = json::object();
  for (const auto& each : of.what.settings) options[each.key] = each.text();
  json value{{"name", of.name}, {"seed", of.options.config.schedule.seed}, {"options", options}};
  if (!how.error.empty()) value["error"] = how.error;
  if (!how.result) return value;
  const auto& result = *how.result;
  auto measures = json::object();
  for (const auto& each : result.measures) measures[each.name] = each.value;
  value["measures"] = measures;
  value["load"] = {{"steps", result.load.steps}, {"rows", result.load.rows}};
  value["expert_class"] = result.expert_class;
  value["warnings"] = result.warnings;
  value["digest"] = result.digest;
  return value;
}

/// "<" is all that could end a script element or open a comment in it.
std::string safe_in_script(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '<' ? "\\u003c" : std::string(1, c);
  return result;
}

} // namespace

std::string report_data(const ablation& all) {
  auto groups = json::array();
  for (const auto& each : groups_of(all.cells, all.outcomes)) groups.push_back(value_of(each));
  auto cells = json::array();
  for (std::size_t at = 0; at < all.cells.size(); ++at)
    cells.push_back(value_of(all.cells[at], all.outcomes[at]));
  auto refused = json::array();
  for (const auto& each : all.refused) refused.push_back({{"name", each.name}, {"reason", each.reason}});
  const json data{
    {"name", all.name}, {"version", all.version}, {"groups", groups}, {"cells", cells}, {"refused", refused}};
  return safe_in_script(data.dump(-1, ' ', false, json::error_handler_t::replace));
}

std::string html_report(const ablation& all) {
  std::string page(report_template());
  return page.replace(page.rfind(data_mark), data_mark.size(), report_data(all));
}

} // namespace troupe::ablate
