#pragma once

#include "launcher/ablate/matrix.hpp"
#include "launcher/options.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::ablate {

/// One training run of an ablation.
struct cell {
  std::string name;    ///< for people: what sets it apart, "router=switch, seed=0"
  std::string group;   ///< the same without the seed
  std::string repeats; ///< identity of the group: all settings but the seed
  combination what;
  launcher::train_options options; ///< complete and checked
  std::string hash; ///< 64 hex digits of what the result is a function of: configuration, node program, data
};

/// A combination that no training run can have.
struct refused_cell {
  std::string name;  ///< as of a cell
  std::string group; ///< the same without the seed
  combination what;
  std::string reason; ///< one line of the option parser
};

struct cell_plan {
  std::vector<cell> cells;
  std::vector<refused_cell> refused;
};

/// Gives every combination to the option parser of `troupe train`. `node_program` wins over the matrix.
/// Combinations that it refuses are left out. Errors: `usage`, with the place in the file: every combination
/// is refused; a choice is, by itself and in each of its combinations (a wrong name or value); two cells are
/// the same run.
expected<cell_plan> plan_cells(const matrix& all, const std::string& node_program);

/// How many cells run at once: `wanted`, or, when that is 0, as many as fit the cores with the threads that
/// the matrix gives them; never more than there are.
std::uint32_t jobs_within(std::uint32_t cores, const std::vector<cell>& cells, std::uint32_t wanted);

/// Divides the cores among the cells that run at once, where the matrix says nothing.
void share_cores(std::uint32_t cores, std::uint32_t jobs, std::vector<cell>& cells);

} // namespace troupe::ablate
