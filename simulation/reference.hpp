#pragma once

#include "messages/plan.hpp"
#include "messages/report.hpp"
#include "simulation/scenario.hpp"

#include <map>
#include <vector>

namespace troupe::simulation {

/// What one step must show.
struct expected_step {
  step_kind kind = step_kind::train;
  std::uint64_t ordinal = 0;
  std::uint64_t rows = 0;
  double learning_rate = 0;
  double gradient_norm = 0;                    ///< 0 unless clipping is global
  std::vector<microbatch_report> microbatches; ///< microbatch, rows, loss, correct, expert rows
};

struct expected_run {
  std::vector<expected_step> steps;
  std::vector<std::map<owner_id, word>> states; ///< by version: before each step, and at the end
};

/// The run of a scenario as one plain loop: one process, one microbatch after the other, no messages, no
/// cores. Shares with them only the ledger's arithmetic.
expected_run expected_of(const scenario& s);

} // namespace troupe::simulation
