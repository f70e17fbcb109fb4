#pragma once

#include "simulation/scenario.hpp"

#include <iosfwd>
#include <optional>
#include <string>

namespace troupe::simulation {

/// How a run ended.
struct outcome {
  std::optional<std::string> violation; ///< the first violated expectation; nothing if all was well
  instant at = 0;                       ///< simulated time of it, or of the end
  std::uint64_t events = 0;
  std::uint64_t steps = 0;
};

/// Runs a scenario to its end or to the first violated expectation. The same scenario gives the same outcome,
/// always. `trace`: one line per message, may be null.
outcome simulate(const scenario& s, std::ostream* trace = nullptr);

} // namespace troupe::simulation
