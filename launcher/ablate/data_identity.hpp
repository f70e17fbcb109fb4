#pragma once

#include "model/configuration.hpp"

#include <map>
#include <string>

namespace troupe::ablate {

/// What the data at a cell's `--data-dir` is, so that other data there is another cell.
class data_identities {
public:
  /// Empty for data sets that are the same wherever their files lie (fashion-mnist, whose files are compared
  /// with their SHA-256, and gaussian). Of the others: a file is its SHA-256, which is computed once;
  /// a folder, or what cannot be read, its path.
  std::string of(const data_options& data);

private:
  std::map<std::string, std::string> known_; ///< by path
};

} // namespace troupe::ablate
