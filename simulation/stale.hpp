#pragma once

#include "messages/message.hpp"
#include "simulation/mixing.hpp"

#include <optional>

namespace troupe::simulation {

/// What an earlier incarnation of the run could have sent under the same name: the message with an older term
/// and other contents, sometimes for the next step. Nothing for messages that never leave a node.
std::optional<message> stale_twin(const message& m, dice& draw);

} // namespace troupe::simulation
