#pragma once

namespace troupe::node {

/// Turns SIGTERM and SIGINT into a wish that the process looks for: `interrupted`. A second one ends it as
/// ever.
void look_for_interruption();

/// Whether one has come.
bool interrupted() noexcept;

/// Ends the process as if nobody had looked for the signal that came, so that whoever started it sees why it
/// ended.
void end_by_interruption();

} // namespace troupe::node
