#include "conformance/case_file.hpp"

#include "conformance/options_data.hpp"
#include "model/checkpoint/strict_json.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <set>

namespace troupe::conformance {

namespace {

using nlohmann::json;

/// Parses, refusing objects that give a name twice.
json parse(const std::string& text) {
  std::vector<std::set<std::string>> open;
  return json::parse(text, [&](int, json::parse_event_t event, json& part) {
    if (event == json::parse_event_t::object_start)
      open.emplace_back();
    else if (event == json::parse_event_t::object_end)
      open.pop_back();
    else if (event == json::parse_event_t::key && !open.back().insert(part.get<std::string>()).second)
      throw case_error("the name '" + part.get<std::string>() + "' is given twice");
    return true;
  });
}

const json& member(const json& object, const char* name, json::value_t type) {
  const auto i = object.find(name);
  if (i == object.end()) throw case_error(std::string("'") + name + "' is missing");
  if (i->type() != type) throw case_error(std::string("'") + name + "' is of the wrong type");
  return *i;
}

void only(const json& object, std::set<std::string> names) {
  if (!object.is_object()) throw case_error("an object is missing");
  for (const auto& item : object.items())
    if (!names.contains(item.key())) throw case_error("unknown member '" + item.key() + "'");
}

double finite(const json& v) {
  if (!v.is_number() || !std::isfinite(v.get<double>()))
    throw case_error("an f64 tensor holds something that is no finite number");
  return v.get<double>();
}

value read_value(const json& object) {
  only(object, {"shape", "dtype", "data"});
  value out;
  constexpr std::int64_t elements_max = std::int64_t{1} << 28;
  std::int64_t elements = 1;
  for (const auto& d : member(object, "shape", json::value_t::array)) {
    if (!d.is_number_unsigned() || d.get<std::uint64_t>() > static_cast<std::uint64_t>(elements_max))
      throw case_error("a shape holds something that is no size");
    out.shape.push_back(d.get<std::int64_t>());
    elements *= out.shape.back();
    if (elements > elements_max) throw case_error("a shape is larger than 2^28 elements");
  }
  const auto& data = member(object, "data", json::value_t::array);
  if (static_cast<std::int64_t>(data.size()) != elements)
    throw case_error("a tensor of " + std::to_string(elements) + " elements has "
                     + std::to_string(data.size()));
  const auto dtype = member(object, "dtype", json::value_t::string).get<std::string>();
  if (dtype == "f64") {
    for (const auto& v : data) out.numbers.push_back(finite(v));
  } else if (dtype == "i64") {
    out.type = value::kind::i64;
    for (const auto& v : data) {
      if (!v.is_number_integer()) throw case_error("an i64 tensor holds something that is no integer");
      out.integers.push_back(v.is_number_unsigned() ? static_cast<std::int64_t>(v.get<std::uint64_t>())
                                                    : v.get<std::int64_t>());
    }
  } else if (dtype == "bool") {
    out.type = value::kind::boolean;
    for (const auto& v : data) {
      if (!v.is_boolean()) throw case_error("a bool tensor holds something that is neither true nor false");
      out.integers.push_back(v.get<bool>());
    }
  } else {
    throw case_error("unknown dtype '" + dtype + "'");
  }
  return out;
}

values read_values(const json& object) {
  values out;
  for (const auto& item : object.items()) try {
      out.emplace(item.key(), read_value(item.value()));
    } catch (const case_error& e) {
      throw case_error("tensor '" + item.key() + "': " + e.what());
    }
  return out;
}

tolerance read_tolerance(const json& v) {
  if (v.is_string() && v.get<std::string>() == "exact") return {true, 0, 0};
  only(v, {"abs", "rel"});
  const tolerance out{false, finite(v.value("abs", json())), finite(v.value("rel", json()))};
  if (out.absolute < 0 || out.relative < 0) throw case_error("the tolerance is negative");
  return out;
}

conformance_case read_case(const json& object) {
  only(object, {"name", "op", "options", "tolerance", "input", "expect"});
  if (!object.contains("tolerance")) throw case_error("'tolerance' is missing");
  auto settings = std::make_shared<const options::data>(
    options::data{member(object, "options", json::value_t::object)});
  conformance_case out{member(object, "name", json::value_t::string).get<std::string>(),
                       member(object, "op", json::value_t::string).get<std::string>(),
                       options(settings),
                       read_tolerance(object["tolerance"]),
                       read_values(member(object, "input", json::value_t::object)),
                       read_values(member(object, "expect", json::value_t::object))};
  if (out.expect.empty()) throw case_error("nothing is expected");
  return out;
}

} // namespace

std::vector<conformance_case> read_cases(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw case_error("cannot be opened");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  json root;
  try {
    root = parse(text);
  } catch (const json::exception& e) {
    throw case_error(text_of(e, text.size()));
  }
  only(root, {"format", "precision", "cases"});
  if (const auto format = member(root, "format", json::value_t::string).get<std::string>();
      format != "moe-conformance-1")
    throw case_error("format: got '" + format + "', limit moe-conformance-1");
  if (const auto precision = member(root, "precision", json::value_t::string).get<std::string>();
      precision != "float64")
    throw case_error("precision: got '" + precision + "', limit float64");
  std::vector<conformance_case> out;
  std::set<std::string> names;
  for (const auto& c : member(root, "cases", json::value_t::array)) {
    try {
      out.push_back(read_case(c));
    } catch (const case_error& e) {
      const auto named = c.is_object() && c.contains("name") && c["name"].is_string();
      throw case_error("case "
                       + (named ? "'" + c["name"].get<std::string>() + "'" : std::to_string(out.size()))
                       + ": " + e.what());
    }
    if (!names.insert(out.back().name).second)
      throw case_error("case '" + out.back().name + "' is there twice");
  }
  if (out.empty()) throw case_error("it holds no case");
  return out;
}

const value& need(const values& from, const std::string& name, value::kind type, std::size_t rank) {
  const auto i = from.find(name);
  if (i == from.end()) throw case_error("input '" + name + "' is missing");
  if (i->second.type != type || i->second.shape.size() != rank)
    throw case_error("input '" + name + "' is not of the expected type and rank");
  return i->second;
}

void need_shape(const value& v, const std::string& name, const std::vector<std::int64_t>& shape) {
  if (v.shape != shape) throw case_error("input '" + name + "' has a shape that does not fit the others");
}

tensor to_tensor(const value& v) {
  const shape dims{std::span<const std::int64_t>(v.shape)};
  if (v.type == value::kind::f64) return tensor::of<double>(dims, v.numbers);
  return tensor::of<std::int64_t>(dims, v.integers);
}

} // namespace troupe::conformance
