#pragma once

#include "messages/error.hpp"
#include "model/configuration.hpp"
#include "model/factory.hpp"

#include <cstdint>

namespace troupe {

/// Bytes of the machine's memory.
std::uint64_t machine_memory();

/// Bytes of memory that this process may use: the machine's, or its own address space where that is limited
/// to less.
std::uint64_t usable_memory();

/// What a run has in memory besides the parameters and moments of its experts, and where.
struct memory_use {
  bool training = true;  ///< gradients
  bool collects = false; ///< at the end a copy of parameters and moments, to save or to digest them
  bool nodes = false;    ///< in processes of this machine; otherwise in this process
};

/// For runs whose experts are all on this machine: refuses those that are over `bytes` of memory at some
/// time. Experts of a kind that the program added are not known here.
expected<void> check_experts_fit(const configuration& config, const model_shape& widths,
                                 const memory_use& use, std::uint64_t bytes);

} // namespace troupe
