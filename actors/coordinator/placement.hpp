#pragma once

#include "messages/ids.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

/// Spreads each layer's experts over `nodes` (ascending, at least one) so that counts differ by at most one,
/// moving as few experts as possible from `before` (node of each owner, index = layer · experts + expert;
/// empty: none placed yet, contiguous blocks). Deterministic: the same inputs give the same placement on
/// every machine.
std::vector<node_id> spread(std::uint16_t layers, std::uint32_t experts, std::span<const node_id> nodes,
                            std::span<const node_id> before);

} // namespace troupe
