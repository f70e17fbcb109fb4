#include "launcher/ablate/result.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>

namespace troupe::ablate {

namespace {

using json = nlohmann::ordered_json;

json to_value(const measure& each) {
  json value{{"name", each.name}, {"value", each.value}};
  if (each.at_balance) value["at_balance"] = *each.at_balance;
  return value;
}

double number_of(const json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

measure measure_of(const json& value) {
  measure result{value.at("name").get<std::string>(), number_of(value.at("value")), {}};
  if (value.contains("at_balance")) result.at_balance = number_of(value.at("at_balance"));
  return result;
}

cell_result result_of(const json& value) {
  cell_result result;
  value.at("hash").get_to(result.hash);
  value.at("version").get_to(result.version);
  value.at("digest").get_to(result.digest);
  value.at("steps").get_to(result.steps);
  value.at("experts").get_to(result.experts);
  for (const auto& each : value.at("measures")) result.measures.push_back(measure_of(each));
  value.at("load").at("steps").get_to(result.load.steps);
  value.at("load").at("rows").get_to(result.load.rows);
  value.at("expert_class").get_to(result.expert_class);
  value.at("warnings").get_to(result.warnings);
  return result;
}

} // namespace

const measure* cell_result::find(std::string_view name) const {
  const auto found = std::ranges::find(measures, name, &measure::name);
  return found == measures.end() ? nullptr : &*found;
}

std::string to_json(const cell_result& result) {
  auto measures = json::array();
  for (const auto& each : result.measures) measures.push_back(to_value(each));
  const json value{{"hash", result.hash},
                   {"version", result.version},
                   {"digest", result.digest},
                   {"steps", result.steps},
                   {"experts", result.experts},
                   {"measures", measures},
                   {"load", {{"steps", result.load.steps}, {"rows", result.load.rows}}},
                   {"expert_class", result.expert_class},
                   {"warnings", result.warnings}};
  return value.dump() + "\n";
}

expected<cell_result> result_from_json(const std::string& text) {
  try {
    return result_of(json::parse(text));
  } catch (const json::exception& problem) {
    return fail(error_code::malformed, std::string("[ablate] result of a cell: ") + problem.what());
  }
}

} // namespace troupe::ablate
