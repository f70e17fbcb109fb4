#pragma once

#include "launcher/node/event_writer.hpp"
#include "launcher/node/options.hpp"
#include "messages/error.hpp"
#include "model/extensions.hpp"

namespace troupe::node {

/// A node process that hosts experts: joins a head, works until it is released. Blocks.
expected<void> run_node(const join_options& options, const extensions& more, event_writer& events);

} // namespace troupe::node
