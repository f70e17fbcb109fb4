#pragma once

#include <cstdint>
#include <span>

namespace troupe {

/// Auxiliary-loss-free balancing (Wang 2024, DeepSeek-V3): b += rate·sign(n̄ − n_e), sign(0) = 0. `counts` are
/// those of the whole step, before dropping. `recentre` subtracts the mean of the change, which keeps Σb
/// (torchtitan).
template <class Real>
void update_bias(std::span<Real> bias, std::span<const double> counts, double rate, bool recentre);

} // namespace troupe
