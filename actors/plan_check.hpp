#pragma once

#include "messages/plan.hpp"

#include <cstddef>
#include <optional>
#include <string>

namespace troupe {

/// Why a plan is none for a member that does work in it and looks up `owners` experts in its placement: one
/// line. No optimizer of this run makes such a plan; `decode` cannot know how many experts there are.
inline std::optional<std::string> defect_of(const plan& p, std::size_t owners) {
  const auto of = "[plan " + std::to_string(p.step) + "] ";
  if (p.microbatches.empty()) return of + "microbatches: got 0, limit at least 1";
  if (p.placement.size() < owners)
    return of + "placement: got " + std::to_string(p.placement.size()) + " experts, limit at least "
           + std::to_string(owners);
  return std::nullopt;
}

} // namespace troupe
