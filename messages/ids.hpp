#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace troupe {

/// Number of a node within one run, given by the coordinator in order of joining.
/// Node 0 is the head; in a run without further nodes it also hosts the experts.
using node_id = std::uint16_t;

/// Number of a data-parallel replica (one router actor each).
using replica_id = std::uint16_t;

/// (incarnation, counter) of the current membership. Every message carries it; a message of an older term is
/// refused. The incarnation is drawn when a run starts; the counter stays 1, since no change of members drops
/// work in flight.
struct term_id {
  std::uint64_t incarnation = 0;
  std::uint32_t counter = 0;

  auto operator<=>(const term_id&) const = default;
};

/// Names one owner: an expert of a layer, or the dense part of a stage.
struct owner_id {
  static constexpr std::uint16_t dense_part = 0xffff;

  std::uint16_t layer = 0;  ///< MoE layer of an expert, stage of a dense part
  std::uint16_t expert = 0; ///< expert within the layer, or `dense_part`
  std::uint16_t slice = 0;  ///< slice of the expert's hidden width (0 unless tensor parallel)

  bool is_dense() const noexcept { return expert == dense_part; }

  auto operator<=>(const owner_id&) const = default;
};

/// Identity of one piece of work. Together with the message's type (its phase) it identifies a message:
/// a repeat carries the same identity and is answered from memory, never applied again.
struct work_id {
  term_id term;
  std::uint64_t step = 0;       ///< index of the plan; equals the version of the parameters it runs on
  std::uint32_t microbatch = 0; ///< index within the step
  std::uint16_t layer = 0;      ///< MoE layer

  auto operator<=>(const work_id&) const = default;
};

} // namespace troupe

template <>
struct std::hash<troupe::owner_id> {
  std::size_t operator()(const troupe::owner_id& id) const noexcept {
    return (std::size_t{id.layer} << 32) | (std::size_t{id.expert} << 16) | id.slice;
  }
};
