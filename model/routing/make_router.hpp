#pragma once

#include "messages/error.hpp"
#include "model/configuration.hpp"
#include "model/routing/router.hpp"

#include <cstdint>
#include <memory>

namespace troupe {

/// What a router is made for: `training` also refuses what computes but cannot learn (top-1 with a gate that
/// is always 1).
enum class router_purpose { training, formula };

/// The standard router `options.name` for E experts, or one line that says which option is wrong and what is
/// allowed.
template <class Real>
expected<std::unique_ptr<router<Real>>> make_router(const router_options& options, std::uint32_t experts,
                                                    router_purpose purpose = router_purpose::training);

} // namespace troupe
