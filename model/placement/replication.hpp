#pragma once

#include "messages/error.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

// Where copies of experts go (EPLB, DeepSeek 2025). Ratios and sums in double; equal values go to the lowest
// index.

/// Copies of experts in slots, in order of creation.
struct replication {
  std::vector<std::int64_t> expert_per_slot; ///< [slots]
  std::vector<std::int64_t> rank;            ///< [slots] number of the copy, from 0
  std::vector<std::int64_t> copies;          ///< [E]
};

/// One copy each; until the slots are full, one more of the expert with the largest load/copies. Needs slots
/// ≥ E.
expected<replication> replicate(std::span<const double> load, std::int64_t slots);

/// Items in bins of equal count.
struct packing {
  std::vector<std::int64_t> bin;  ///< [m]
  std::vector<std::int64_t> rank; ///< [m] place within the bin, in order of placing
};

/// By falling weight, each into the lightest bin that has room; one item per bin if there are as many bins.
/// Bins divide m.
expected<packing> pack(std::span<const double> weight, std::int64_t bins);

/// What `place` fills.
struct placement_shape {
  std::int64_t slots = 0;
  std::int64_t groups = 1; ///< expert groups that stay on one node
  std::int64_t nodes = 1;
  std::int64_t devices = 1; ///< over all nodes
};

/// Expert of each slot, devices in order. Groups are packed onto nodes, experts replicated inside each node,
/// copies packed onto its devices; globally, as one group on one node, if the nodes do not divide the groups.
expected<std::vector<std::int64_t>> place(std::span<const double> load, placement_shape s);

/// max/mean of the devices' loads when copies share their expert's load evenly.
double device_imbalance(std::span<const double> load, std::span<const std::int64_t> expert_per_slot,
                        std::int64_t devices);

} // namespace troupe
