#pragma once

#include "messages/error.hpp"
#include "model/routing/router.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// Who keeps a slot when an expert is over its capacity (§4.2). Defined by counting: an expert keeps its
/// first C slots in the policy's order.
enum class capacity_policy {
  none,         ///< everybody
  probs,        ///< the largest gates, lowest token on ties
  token_major,  ///< (t 0, slot 0), (t 0, slot 1), (t 1, slot 0), …
  choice_major, ///< all slots 0 by token, then all slots 1, …
  bpr,          ///< choice_major with tokens by falling priority [T] (their largest P)
  random        ///< by falling priority [T, slots], the drawn numbers
};

expected<capacity_policy> capacity_policy_of(const std::string& name);

/// C = max(minimum, ⌈(T·k/E)·factor⌉), in double in this order (Megatron-Core).
std::int64_t capacity_of(std::int64_t tokens, std::int64_t slots, std::int64_t experts, double factor,
                         std::int64_t minimum);

/// What is left after dropping.
template <class Real>
struct survivors {
  std::vector<std::uint8_t> kept;    ///< [T, slots]
  std::vector<Real> gates;           ///< [T, slots], 0 where not kept
  std::vector<std::uint64_t> counts; ///< [E] after dropping
  std::vector<Real> surviving_sum;   ///< [T] what the gates were divided by; empty without renormalisation
};

/// Slots not in use take no place and do not survive. Survivors' gates are unchanged unless `renormalise`:
/// then they are divided by the token's surviving sum (by 1 where that is 0).
template <class Real>
survivors<Real> drop_over_capacity(const routing<Real>& r, capacity_policy policy, std::int64_t capacity,
                                   std::span<const Real> priority, bool renormalise);

/// ∂L/∂gate before dropping from ∂L/∂gate after it, in place: 0 for dropped slots.
template <class Real>
void capacity_backward(const survivors<Real>& s, std::int64_t slots, std::span<Real> gate_gradient);

} // namespace troupe
