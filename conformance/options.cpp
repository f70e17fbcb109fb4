#include "conformance/options.hpp"

#include "conformance/options_data.hpp"
#include "conformance/values.hpp"

#include <algorithm>
#include <string_view>

namespace troupe::conformance {

namespace {

const nlohmann::json& field(const nlohmann::json& object, const std::string& name) {
  const auto i = object.find(name);
  if (i == object.end()) throw case_error("option '" + name + "' is missing");
  return *i;
}

[[noreturn]] void wrong(const std::string& name, const std::string& wanted) {
  throw case_error("option '" + name + "' is not " + wanted);
}

} // namespace

options::options(std::shared_ptr<const data> from) : data_(std::move(from)) {
  // nop
}

void options::allow(std::initializer_list<const char*> names) const {
  for (const auto& item : data_->object.items())
    if (std::none_of(names.begin(), names.end(), [&](std::string_view n) { return n == item.key(); }))
      throw case_error("unknown option '" + item.key() + "'");
}

bool options::has(const std::string& name) const {
  return data_->object.contains(name);
}

std::string options::text(const std::string& name) const {
  const auto& v = field(data_->object, name);
  if (!v.is_string()) wrong(name, "a string");
  return v.get<std::string>();
}

double options::number(const std::string& name) const {
  const auto& v = field(data_->object, name);
  if (!v.is_number()) wrong(name, "a number");
  return v.get<double>();
}

bool options::flag(const std::string& name) const {
  const auto& v = field(data_->object, name);
  if (!v.is_boolean()) wrong(name, "true or false");
  return v.get<bool>();
}

std::int64_t options::integer(const std::string& name, std::int64_t low) const {
  const auto& v = field(data_->object, name);
  constexpr std::uint64_t size_max = std::uint64_t{1} << 24;
  const bool fits = v.is_number_integer() && (!v.is_number_unsigned() || v.get<std::uint64_t>() <= size_max);
  if (!fits || v.get<std::int64_t>() < low)
    wrong(name, "an integer from " + std::to_string(low) + " to " + std::to_string(size_max));
  return v.get<std::int64_t>();
}

std::uint64_t options::unsigned_integer(const std::string& name) const {
  const auto& v = field(data_->object, name);
  if (!v.is_number_integer()) wrong(name, "an integer");
  return v.get<std::uint64_t>();
}

std::vector<std::int64_t> options::integers(const std::string& name) const {
  const auto& v = field(data_->object, name);
  if (!v.is_array() || !std::all_of(v.begin(), v.end(), [](const auto& x) { return x.is_number_integer(); }))
    wrong(name, "a list of integers");
  return v.get<std::vector<std::int64_t>>();
}

options options::object(const std::string& name) const {
  const auto& v = field(data_->object, name);
  if (!v.is_object()) wrong(name, "an object");
  return options(std::make_shared<const data>(data{v}));
}

std::vector<std::string> options::names() const {
  std::vector<std::string> out;
  for (const auto& item : data_->object.items()) out.push_back(item.key());
  return out;
}

} // namespace troupe::conformance
