#pragma once

#include "model/factory.hpp"

#include <string>

// `prepare_compute_thread` and `numerics_fingerprint` are declared in model/factory.hpp.

namespace troupe {

/// What decides the bits, in words: versions, instruction sets, and the settings read from the environment.
std::string numerics_description();

} // namespace troupe
