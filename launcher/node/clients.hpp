#pragma once

#include "launcher/node/options.hpp"
#include "messages/error.hpp"
#include "messages/ids.hpp"

#include <string>

namespace troupe::node {

/// The state of the run whose head is at `where`, as JSON. Blocks.
expected<std::string> ask_status(const endpoint& where);

/// Asks a node (by name or number) to hand its experts over and leave. Returns its number once it was told.
/// Blocks.
expected<node_id> ask_drain(const endpoint& where, const std::string& node);

} // namespace troupe::node
