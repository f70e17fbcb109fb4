#pragma once

#include "launcher/ablate/matrix.hpp"
#include "launcher/options.hpp"

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
  std::string hash; ///< 64 hex digits of configuration and node program: what the result is a function of
};

/// Gives every combination to the option parser of `troupe train`. `node_program` wins over the matrix.
/// Errors: `usage`: what the parser refuses, with the place in the file; two cells that are the same run.
expected<std::vector<cell>> plan_cells(const matrix& all, const std::string& node_program);

} // namespace troupe::ablate
