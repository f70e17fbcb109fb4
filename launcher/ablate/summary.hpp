#pragma once

#include "launcher/ablate/cell.hpp"
#include "launcher/ablate/result.hpp"

#include <optional>
#include <span>
#include <string>
#include <vector>

/// What the cells of an ablation add up to. Pure functions.
namespace troupe::ablate {

/// How a cell stands.
struct outcome {
  std::optional<cell_result> result; ///< finished
  std::string error;                 ///< failed; empty for cells that have not run
};

/// Mean and sample standard deviation (n − 1) of the values that are numbers.
struct statistic {
  std::size_t count = 0;
  double mean = 0;      ///< NaN without a value
  double deviation = 0; ///< NaN with less than two values
};
statistic statistic_of(std::span<const double> values);

struct group_measure {
  std::string name;
  std::optional<double> at_balance;
  statistic over_seeds;
};

/// The cells that differ in their seed only.
struct group {
  std::string name;
  std::vector<std::pair<std::string, std::string>> labels; ///< (axis, label), without the seed
  std::vector<std::size_t> cells;                          ///< indices
  std::size_t finished = 0;
  std::vector<group_measure> measures; ///< over the finished cells

  const group_measure* find(std::string_view name) const;
};
std::vector<group> groups_of(const std::vector<cell>& cells, const std::vector<outcome>& outcomes);

/// Everything that CSV, table and report show.
struct ablation {
  std::string name; ///< of the matrix
  std::string version;
  std::vector<cell> cells;
  std::vector<outcome> outcomes; ///< by cell
  std::vector<refused_cell> refused;
};

/// Names that appear in any of the cells, in the order of their first appearance: axes, then measures.
std::vector<std::string> axis_names(const ablation& all);
std::vector<std::string> measure_names(const std::vector<outcome>& outcomes);

} // namespace troupe::ablate
