#include "actors/coordinator/placement.hpp"

#include <algorithm>
#include <map>

namespace troupe {

namespace {

/// Experts that node number `i` of `n` should have: the first ones get the remainder, which layers shift
/// round so that it does not always fall on the same nodes.
std::uint32_t share(std::uint32_t experts, std::size_t n, std::size_t i, std::uint16_t layer) {
  const auto rank = (i + n - layer % n) % n;
  return static_cast<std::uint32_t>(experts / n + (rank < experts % n ? 1 : 0));
}

/// One layer: keeps what may stay, fills the rest in node order.
void spread_layer(std::span<node_id> layer_placement, std::span<const node_id> nodes, std::uint16_t layer,
                  bool placed) {
  std::map<node_id, std::uint32_t> room;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    room[nodes[i]] = share(static_cast<std::uint32_t>(layer_placement.size()), nodes.size(), i, layer);
  std::vector<std::size_t> homeless;
  for (std::size_t e = 0; e < layer_placement.size(); ++e) {
    auto r = placed ? room.find(layer_placement[e]) : room.end();
    if (r != room.end() && r->second > 0)
      --r->second;
    else
      homeless.push_back(e);
  }
  auto next = room.begin();
  for (auto e : homeless) {
    while (next->second == 0) ++next;
    layer_placement[e] = next->first;
    --next->second;
  }
}

} // namespace

std::vector<node_id> spread(std::uint16_t layers, std::uint32_t experts, std::span<const node_id> nodes,
                            std::span<const node_id> before) {
  std::vector<node_id> result(before.begin(), before.end());
  result.resize(std::size_t{layers} * experts);
  for (std::uint16_t layer = 0; layer < layers; ++layer)
    spread_layer(std::span(result).subspan(std::size_t{layer} * experts, experts), nodes, layer,
                 !before.empty());
  return result;
}

} // namespace troupe
