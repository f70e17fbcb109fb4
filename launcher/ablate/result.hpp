#pragma once

#include "messages/error.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::ablate {

/// A number that a cell came out with.
struct measure {
  std::string name; ///< such as accuracy; docs: launcher/ablate/README.md
  double value = 0;
  std::optional<double> at_balance; ///< what perfect balance would give

  bool operator==(const measure&) const = default;
};

/// Rows per expert of the first layer over the run, summed over equal spans of steps.
struct load_series {
  std::vector<std::uint64_t> steps;             ///< last step of each span, 1-based
  std::vector<std::vector<std::uint64_t>> rows; ///< by span and expert

  bool operator==(const load_series&) const = default;
};

/// What is kept of a finished cell: a file of its own.
struct cell_result {
  std::string hash;    ///< of the cell
  std::string version; ///< of the program that computed it
  std::string digest;  ///< SHA-256 of the trained weights
  std::uint64_t steps = 0;
  std::uint64_t experts = 0;
  std::vector<measure> measures;
  load_series load;
  std::vector<std::vector<std::uint64_t>> expert_class; ///< test rows by expert and class
  std::vector<std::string> warnings;

  const measure* find(std::string_view name) const;
  bool operator==(const cell_result&) const = default;
};

/// JSON; numbers that JSON cannot hold are null and come back as NaN.
std::string to_json(const cell_result& result);
/// Errors: `malformed`.
expected<cell_result> result_from_json(const std::string& text);

} // namespace troupe::ablate
