#pragma once

#include "messages/error.hpp"
#include "model/configuration.hpp"
#include "model/routing/router.hpp"

#include <cstdint>
#include <memory>

namespace troupe {

/// The standard router `options.name` for E experts, or one line that says which option its formula cannot do
/// with. What computes but makes no sense in a run (a gate that is always 1, a loss that contradicts the
/// rule) is `validate`'s to refuse.
template <class Real>
expected<std::unique_ptr<router<Real>>> make_router(const router_options& options, std::uint32_t experts);

} // namespace troupe
