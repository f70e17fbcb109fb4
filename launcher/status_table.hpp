#pragma once

#include "messages/error.hpp"

#include <string>
#include <vector>

namespace troupe::launcher {

/// The JSON of `troupe-node status` as text for people: the run in one line, then a table of the nodes with
/// their experts, rates and bytes. Fields that are missing are shown as "-". Errors: `malformed`.
expected<std::string> status_table(const std::string& json);

/// 0,1,2,5 → "0-2, 5".
std::string id_ranges(std::vector<unsigned> ids);

} // namespace troupe::launcher
