#pragma once

#include "messages/error.hpp"

#include <toml++/toml.h>

#include <string>

namespace troupe::launcher {

/// Reads a TOML file. `argument` names it for people: "--config". Errors: `usage`, with file and line.
expected<toml::table> parse_toml_file(const std::string& argument, const std::string& path);

/// A string, number or boolean as text; numbers in the shortest form that reads back as the same. Empty for
/// everything else.
std::string scalar_text(const toml::node& node);

} // namespace troupe::launcher
