#pragma once

#include "messages/work.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

/// One node's share of a layer's tokens.
struct node_bundle {
  node_id node = 0;
  bool every_row = false;           ///< the rows travel as they are; `tokens` is empty
  std::vector<std::int32_t> tokens; ///< rows to gather, ascending
  std::vector<std::int32_t> pairs;  ///< (token · k + slot) of each index, in the order of `indices`
  tensor indices;                   ///< [N] i32 into the travelling rows
  std::vector<expert_span> experts; ///< all experts of the node and layer, ascending, those without rows too
};

/// Where each (token, slot) goes, and where its answer will stand.
struct dispatch_plan {
  std::int64_t tokens = 0;
  std::int64_t slots = 0;
  std::vector<node_bundle> bundles; ///< by node, ascending
  tensor positions;                 ///< [T, k] i32: row within the expert's part; -1 for unused slots
};

/// Sorts (token, slot) pairs by expert, stably, in O(T·k + E), and groups the experts by node.
/// `experts` [T, k] i32, -1 for unused slots. `placement`: node of each expert of the layer.
/// A node gets all rows as they are if it needs nearly all of them or lies in this process (`local`): then no
/// row is copied here. Throws `run_failure` if `experts` names one that does not exist: routers may come from
/// outside.
dispatch_plan plan_dispatch(const tensor& experts, std::uint16_t layer, std::span<const node_id> placement,
                            node_id local);

/// The rows of a bundle: [R, width] of `rows` [T, width]. Shares memory if every row travels.
tensor pack_rows(const tensor& rows, const node_bundle& bundle);

/// The gates [N] of a bundle's pairs, from [T, k].
tensor pack_gates(const tensor& gates, const node_bundle& bundle);

} // namespace troupe
