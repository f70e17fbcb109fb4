#pragma once

#include "model/routing/routers.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// Masks the experts outside the best groups of every row of `choice` [T, E] (§2.3). A group's score is the
/// sum of its `largest` largest values; equal groups go to the lowest index.
template <class Real>
void mask_groups(std::vector<Real>& choice, std::int64_t experts, group_limit limit, std::int64_t largest);

} // namespace troupe
