#pragma once

#include "conformance/options.hpp"

#include <nlohmann/json.hpp>

namespace troupe::conformance {

/// The parsed object behind `options`; only the files that read JSON include this.
struct options::data {
  nlohmann::json object;
};

} // namespace troupe::conformance
