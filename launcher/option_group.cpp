#include "launcher/option_group.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>

namespace troupe::launcher {

CLI::Validator whole_number(std::uint64_t max) {
  const auto check = [max](std::string& text) {
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) return "got '" + text + "', limit whole numbers without a sign";
    errno = 0;
    if (std::strtoull(text.c_str(), nullptr, 10) > max || errno != 0)
      return "got " + text + ", limit " + std::to_string(max);
    text.erase(0, std::min(text.find_first_not_of('0'), text.size() - 1));
    return std::string();
  };
  return CLI::Validator(check, "");
}

CLI::Validator finite_number() {
  const auto check = [](std::string& text) {
    char* end = nullptr;
    const auto value = std::strtod(text.c_str(), &end);
    if (!text.empty() && *end == '\0' && std::isfinite(value)
        && text.find_first_of("xX \t") == std::string::npos)
      return std::string();
    return "got '" + text + "', limit a finite number, such as 0.001 or 1e-3";
  };
  return CLI::Validator(check, "");
}

CLI::Validator yes_or_no() {
  const auto check = [](std::string& text) {
    for (const char* word : {"true", "false", "yes", "no", "on", "off", "1", "0"})
      if (text == word) return std::string();
    return "got '" + text + "', limit true or false";
  };
  return CLI::Validator(check, "");
}

CLI::Validator some_text() {
  const auto check = [](std::string& text) {
    return text.empty() ? "got an empty text, limit one character or more" : std::string();
  };
  return CLI::Validator(check, "");
}

option_kind kind_of(const CLI::Option& option) {
  if (option.get_expected_max() == 0) return option_kind::toggle;
  if (option.get_expected_max() > 1) return option_kind::texts;
  const auto placeholder = option.get_type_name();
  return placeholder == "N" || placeholder == "X" ? option_kind::number : option_kind::text;
}

} // namespace troupe::launcher
