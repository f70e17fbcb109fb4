#pragma once

#include "conformance/options.hpp"
#include "conformance/values.hpp"

#include <optional>
#include <string>
#include <vector>

namespace troupe::conformance {

/// |got − want| ≤ absolute + relative·|want|; exact: equal.
struct tolerance {
  bool exact = false;
  double absolute = 0;
  double relative = 0;
};

/// One case of a file.
struct conformance_case {
  std::string name;
  std::string op;
  options settings;
  tolerance bound;
  values input;
  values expect;
};

/// Reads a file of the format moe-conformance-1. Throws `case_error` for whatever is not exactly that: other
/// formats, missing or unknown members, doubled names, shapes that do not fit their data, numbers that are
/// not finite.
std::vector<conformance_case> read_cases(const std::string& path);

} // namespace troupe::conformance
