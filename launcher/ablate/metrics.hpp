#pragma once

#include "launcher/ablate/result.hpp"

#include <istream>

namespace troupe::ablate {

/// Condenses the metrics of a finished run (JSON lines, launcher/README.md) into measures, load over time and
/// rows per expert and class. Measures of the routing are those of the last third of the training steps:
/// loads from rows summed over it (the layer with the worst), everything else as means. Errors: `malformed`
/// when a line is no event or the run has no step or no evaluation.
expected<cell_result> condense(std::istream& lines);

} // namespace troupe::ablate
