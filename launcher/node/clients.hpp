#pragma once

#include "launcher/address.hpp"
#include "messages/error.hpp"
#include "messages/ids.hpp"

#include <string>

namespace troupe::node {

/// The state of the run whose head is at `where`, as JSON. Blocks.
expected<std::string> ask_status(const launcher::address& where);

/// Asks a node (by name or number) to hand its experts over and leave. Returns its number once it was told.
/// Blocks.
expected<node_id> ask_drain(const launcher::address& where, const std::string& node);

} // namespace troupe::node
