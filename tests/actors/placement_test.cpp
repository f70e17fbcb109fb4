#include "actors/coordinator/placement.hpp"

#include "simulation/mixing.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <map>

using namespace troupe;

namespace {

/// Experts of one layer per node.
std::map<node_id, std::uint32_t> counts(std::span<const node_id> layer, std::span<const node_id> nodes) {
  std::map<node_id, std::uint32_t> result;
  for (auto n : nodes) result[n] = 0;
  for (auto n : layer) ++result[n];
  return result;
}

/// Moves that any even placement over `nodes` needs: what stands on nodes that are gone, or above the larger
/// share. At least; a few nodes may keep the larger share, so that it is exact.
std::uint32_t moves_needed(std::span<const node_id> before, std::span<const node_id> nodes) {
  const auto experts = static_cast<std::uint32_t>(before.size());
  const auto n = static_cast<std::uint32_t>(nodes.size());
  const auto smaller = experts / n;
  auto larger_left = experts % n;
  std::uint32_t kept = 0;
  auto at = counts(before, nodes);
  std::vector<std::uint32_t> sizes;
  for (auto node : nodes) sizes.push_back(at[node]);
  std::ranges::sort(sizes, std::greater{});
  for (auto s : sizes) {
    const auto larger = s > smaller && larger_left > 0;
    if (larger) --larger_left;
    kept += std::min(s, smaller + (larger ? 1 : 0));
  }
  return experts - kept;
}

} // namespace

TEST_CASE("experts are spread so that each layer's counts differ by at most one", "[unit]") {
  simulation::dice draw(1);
  for (int i = 0; i < 300; ++i) {
    const auto layers = static_cast<std::uint16_t>(draw.between(1, 3));
    const auto experts = static_cast<std::uint32_t>(draw.between(1, 20));
    std::vector<node_id> nodes;
    for (node_id n = 0; n < 9; ++n)
      if (draw.chance(0.5)) nodes.push_back(n);
    if (nodes.empty()) nodes.push_back(3);
    const auto placement = spread(layers, experts, nodes, {});
    REQUIRE(placement.size() == std::size_t{layers} * experts);
    for (std::uint16_t l = 0; l < layers; ++l) {
      const auto per_node = counts(std::span(placement).subspan(std::size_t{l} * experts, experts), nodes);
      CHECK(per_node.size() == nodes.size()); // no other node
      std::vector<std::uint32_t> sizes;
      for (auto& [node, size] : per_node) sizes.push_back(size);
      CHECK(*std::ranges::max_element(sizes) - *std::ranges::min_element(sizes) <= 1);
    }
    CHECK(spread(layers, experts, nodes, placement) == placement); // nothing to do, nothing moves
  }
}

TEST_CASE("the first placement is in contiguous blocks", "[unit]") {
  const std::vector<node_id> nodes{1, 2, 3};
  CHECK(spread(1, 7, nodes, {}) == std::vector<node_id>{1, 1, 1, 2, 2, 3, 3});
}

TEST_CASE("a change of nodes keeps every layer even and moves few experts", "[unit]") {
  simulation::dice draw(2);
  for (int i = 0; i < 300; ++i) {
    const auto experts = static_cast<std::uint32_t>(draw.between(1, 20));
    std::vector<node_id> before_nodes, after_nodes;
    for (node_id n = 0; n < 6; ++n) {
      if (draw.chance(0.6)) before_nodes.push_back(n);
      if (draw.chance(0.6)) after_nodes.push_back(n);
    }
    if (before_nodes.empty() || after_nodes.empty()) continue;
    const auto before = spread(1, experts, before_nodes, {});
    const auto after = spread(1, experts, after_nodes, before);
    std::uint32_t moved = 0;
    for (std::size_t e = 0; e < experts; ++e) moved += before[e] != after[e];
    // Who gets the remainder is fixed by the order of the nodes: at most one move per node more than the
    // least possible.
    CHECK(moved <= moves_needed(before, after_nodes) + after_nodes.size());
    for (auto& [node, size] : counts(after, after_nodes)) {
      CHECK(size >= experts / after_nodes.size());
      CHECK(size <= (experts + after_nodes.size() - 1) / after_nodes.size());
    }
  }
}

TEST_CASE("with even shares a join and a leave move exactly what they must", "[unit]") {
  const std::vector<node_id> four{1, 2, 3, 4}, five{1, 2, 3, 4, 5}, three{1, 3, 4};
  const auto before = spread(1, 60, four, {});
  for (auto* nodes : {&five, &three}) {
    const auto after = spread(1, 60, *nodes, before);
    std::uint32_t moved = 0;
    for (std::size_t e = 0; e < 60; ++e) moved += before[e] != after[e];
    CHECK(moved == moves_needed(before, *nodes)); // 12 to the new node; 15 from the one that left
  }
}
