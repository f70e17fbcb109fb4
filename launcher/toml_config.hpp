#pragma once

#include "messages/error.hpp"

#include <string>
#include <vector>

namespace CLI {
class App;
} // namespace CLI

namespace troupe::launcher {

/// Gives a command's options the values of a TOML file: the keys are the flags without their dashes
/// (`num-experts = 8`), checked as the flags are. Options that the command line has set keep their values.
/// Errors: `usage`, with file, line and key, for a file that cannot be read, malformed TOML, an unknown key
/// and a value that the flag would refuse.
expected<void> apply_toml(CLI::App& command, const std::string& path);

/// The candidate that a misspelt word most likely means; empty when none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

/// Long names of a command's options, without dashes.
std::vector<std::string> option_names(const CLI::App& command);

} // namespace troupe::launcher
