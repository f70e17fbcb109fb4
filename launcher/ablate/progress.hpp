#pragma once

#include "launcher/events.hpp"

#include <cstddef>
#include <string>
#include <vector>

/// How an ablation stands, as text for people. Pure functions.
namespace troupe::ablate {

/// A cell under way.
struct running_cell {
  std::string name;
  std::uint64_t steps = 0; ///< of the whole run; 0: not known yet
  launcher::step_event last;

  /// Share of its steps that are done, 0 to 1.
  double share() const;
};

struct cell_counts {
  std::size_t all = 0;
  std::size_t earlier = 0;  ///< finished before this start
  std::size_t finished = 0; ///< by this start
  std::size_t failed = 0;

  std::size_t left() const { return all - earlier - finished - failed; }
};

/// Seconds until the last cell ends, from what was done in `seconds` by this start; negative: not known yet.
/// Cells count the same, those under way by their share.
double seconds_left(const cell_counts& counts, const std::vector<running_cell>& running, double seconds);

/// ` 41% |####....|  16 of 39 cells, 1 failed  3m12s left`, then a line per running cell.
std::vector<std::string> progress_lines(const cell_counts& counts, const std::vector<running_cell>& running,
                                        double seconds_left, std::size_t columns, bool utf8);

} // namespace troupe::ablate
