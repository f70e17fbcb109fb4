#pragma once

#include "messages/error.hpp"
#include "model/configuration.hpp"
#include "model/factory.hpp"

#include <cstdint>

namespace troupe {

/// Bytes of memory that this process may use: the machine's, or its own address space where that is limited
/// to less.
std::uint64_t usable_memory();

/// For runs in one process: refuses experts whose parameters and moments, and the gradients of `training`,
/// are over `bytes` of memory. Experts of a kind that the program added are not known here.
expected<void> check_experts_fit(const configuration& config, const model_shape& widths, bool training,
                                 std::uint64_t bytes);

} // namespace troupe
