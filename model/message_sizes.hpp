#pragma once

#include "messages/error.hpp"
#include "messages/limits.hpp"
#include "model/configuration.hpp"
#include "model/factory.hpp"

#include <cstdint>

namespace troupe {

/// Bytes of the state (parameters and moments) of expert owner number `expert`; 0 for a kind of expert that
/// the program added, whose states only it knows.
std::uint64_t expert_state_bytes(const configuration& config, const model_shape& widths,
                                 std::uint32_t expert);

/// Bytes of the states of all experts of a layer.
std::uint64_t states_bytes(const configuration& config, const model_shape& widths);

/// Bytes of the payloads of the largest message about one microbatch of `rows` rows, if one node has all
/// experts.
std::uint64_t bundle_bytes_max(const configuration& config, const model_shape& widths, std::uint64_t rows);

/// For runs with nodes: refuses a configuration whose states or bundles are over `message_bytes_max`, since a
/// message travels in one piece (docs/decisions/0009-messages-travel-whole.md). `test_rows`: of the data set.
expected<void> check_message_sizes(const configuration& config, const model_shape& widths,
                                   std::uint64_t test_rows, const limits& bounds = {});

} // namespace troupe
