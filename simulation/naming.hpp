#pragma once

#include "actors/outbox.hpp"

#include <string>

namespace troupe::simulation {

// Words for traces and error texts.

/// "router 1", "expert 0/3 on node 2"
std::string to_string(const address& a);
std::string to_string(const owner_id& o);

/// "dispatch 7/2/0": name and step/microbatch/layer, as far as the message has them; "(old term)" behind it
/// if the term is not `current`.
std::string to_string(const message& m, const term_id& current);

} // namespace troupe::simulation
