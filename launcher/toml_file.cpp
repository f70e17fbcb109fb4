#include "launcher/toml_file.hpp"

#include <spdlog/fmt/fmt.h>

#include <filesystem>

namespace troupe::launcher {

expected<toml::table> parse_toml_file(const std::string& argument, const std::string& path) {
  std::error_code failed;
  if (std::filesystem::is_directory(path, failed)) // it would read as an empty file
    return fail(error_code::usage, argument + ": got the directory " + path + ", limit a TOML file");
  try {
    return toml::parse_file(path);
  } catch (const toml::parse_error& problem) {
    const auto line = problem.source().begin.line;
    if (line == 0)
      return fail(error_code::usage, argument + ": got " + path + ", limit a TOML file that can be read");
    return fail(error_code::usage, "[" + path + ":" + std::to_string(line)
                                     + "] malformed TOML: " + std::string(problem.description())
                                     + "; write lines such as num-experts = 8");
  }
}

std::string scalar_text(const toml::node& node) {
  if (const auto* value = node.as_string()) return value->get();
  if (const auto* value = node.as_integer()) return std::to_string(value->get());
  if (const auto* value = node.as_floating_point()) return fmt::format("{}", value->get());
  const auto* value = node.as_boolean();
  return value == nullptr ? "" : value->get() ? "true" : "false";
}

} // namespace troupe::launcher
