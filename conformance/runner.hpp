#pragma once

#include "conformance/case_file.hpp"

#include <map>
#include <string>
#include <vector>

namespace troupe::conformance {

/// What the production code computes for a case. Throws `case_error` for what it does not know or refuses.
values evaluate(const conformance_case& c);

/// How a run went.
struct outcome {
  struct op_summary {
    std::size_t cases = 0;
    std::size_t passed = 0;
    double worst_error = 0; ///< largest |got − want| of f64 values; infinite where nothing could be compared
    std::string worst_case;
  };

  std::map<std::string, op_summary> ops;
  std::vector<std::string> misses; ///< one line each: file, case and why

  bool passed() const { return misses.empty(); }
};

/// Runs all cases of a file; a file that cannot be read is a miss.
void run_file(const std::string& path, outcome& into);

} // namespace troupe::conformance
