#pragma once

#include "messages/error.hpp"
#include "model/configuration.hpp"
#include "model/extensions.hpp"
#include "model/factory.hpp"
#include "model/trunk.hpp"
#include "model/trunks/classifier_parts.hpp"

#include <memory>

namespace troupe {

/// The one-layer classifier: rows → gate → experts → combine → task loss.
///
/// z = x·Wgᵀ, the router of the configuration, capacity, y = Σ_slots gate·row in slot order; task `classify`
/// (cross-entropy, mean over rows) or `mean_square` (mean of y² over rows and columns), plus Σ λ·loss of the
/// router. The inputs are passed on as they came (u8 stays u8), or are parameters themselves
/// (`learn_inputs`).
///
/// Everything that leaves backward is scaled by the microbatch's share T_mb/T. The "gradient" of a selection
/// bias is what its rule needs: the counts n_e, or the thresholds times the share. Throws `run_failure` for
/// logits, gates, router losses and their gradients that are not finite and for labels or ids out of range.
template <class Real>
std::unique_ptr<trunk_module> make_classifier_trunk(classifier_parts<Real> parts);

expected<std::unique_ptr<trunk_module>> make_classifier_trunk(const configuration& config,
                                                              const model_shape& widths);
expected<std::unique_ptr<trunk_module>>
make_classifier_trunk(const configuration& config, const model_shape& widths, const extensions& more);

} // namespace troupe
