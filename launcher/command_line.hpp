#pragma once

#include "launcher/options.hpp"
#include "messages/error.hpp"

#include <string>
#include <variant>
#include <vector>

namespace troupe::launcher {

/// `--help`, `--version`: text for stdout, and nothing to do.
struct show_text {
  std::string text;
};

struct status_command {
  query_options options;
};

struct drain_command {
  query_options options;
};

using command = std::variant<show_text, train_options, eval_options, node_options, ablate_options,
                             status_command, drain_command>;

/// Reads a command line without the program's name, and the TOML file it names; the result has passed
/// finish(). All errors are one line that names the option: `usage`.
expected<command> read_command_line(std::vector<std::string> arguments);

} // namespace troupe::launcher
