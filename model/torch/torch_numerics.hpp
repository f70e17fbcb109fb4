#pragma once

#include "model/numerics.hpp"

namespace troupe {

/// Names LibTorch among the libraries that a program's parts compute with: compute threads get inference mode
/// and the run's intra-op threads, and the numerics fingerprint covers version, instruction set and products.
void use_torch(numerics_libraries& libraries);

} // namespace troupe
