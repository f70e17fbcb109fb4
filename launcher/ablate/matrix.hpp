#pragma once

#include "messages/error.hpp"

#include <string>
#include <utility>
#include <vector>

/// What an ablation compares, as its TOML file says it (read_matrix), and the combinations that it spans.
namespace troupe::ablate {

/// An option of `troupe train` with its value.
struct setting {
  std::string key;                 ///< the flag without its dashes
  std::vector<std::string> values; ///< several: the flag is given that often
  std::string place;               ///< file:line

  /// The value as people and conditions write it.
  std::string text() const;
};

/// One entry of a list under [vary]: a value, or a table that sets several options together.
struct choice {
  std::string label;
  std::vector<setting> settings;
};

struct axis {
  std::string name;
  std::vector<choice> choices;
};

struct matrix {
  std::string file;
  std::vector<setting> fixed;                ///< for every cell
  std::vector<axis> axes;                    ///< in the order of the file; the last one varies fastest
  std::vector<std::vector<setting>> exclude; ///< combinations that meet all conditions of one are left out
  std::vector<std::vector<setting>> include; ///< more combinations
};

/// The axis whose cells are repetitions of one another.
inline constexpr const char* seed_key = "seed";

/// One way to choose: what a cell will be trained with.
struct combination {
  std::vector<std::pair<std::string, std::string>> labels; ///< (axis, label of its choice)
  std::vector<setting> settings;                           ///< each key once: a choice wins over `fixed`
};

constexpr std::size_t combinations_max = 4096;

/// Reads a matrix file. Errors: `usage`, one line with file, line and key.
expected<matrix> read_matrix(const std::string& path);

/// Every combination, in the order of the file. Entries of `include` that set no seed are repeated for each
/// one of the seed axis. Errors: `usage`: more than `combinations_max`, none left, two axes that set the same
/// option, an `exclude` that nothing meets.
expected<std::vector<combination>> expand(const matrix& all);

} // namespace troupe::ablate
