#pragma once

#include "messages/ids.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// Named mean over the rows of one microbatch, e.g. "entropy" or "z". The receiver weights it by the rows.
struct named_value {
  std::string name;
  double value = 0;

  bool operator==(const named_value&) const = default;
};

/// Router health of one layer over one microbatch (definitions: docs/routing.md).
struct layer_health {
  std::vector<std::uint64_t> expert_rows; ///< n_e, before dropping
  std::vector<named_value> values; ///< "entropy", "aux", "z", "dropped", ... means over the microbatch's rows

  bool operator==(const layer_health&) const = default;
};

/// What one microbatch showed.
struct microbatch_report {
  std::uint32_t microbatch = 0;
  std::uint32_t rows = 0;
  double loss = 0;    ///< mean task loss over the rows, unscaled
  double correct = 0; ///< rows whose largest output is the label
  std::vector<layer_health> layers;
  std::vector<std::uint64_t> expert_class; ///< layer 0: rows per (expert, class), row-major; empty unless
                                           ///< asked for

  bool operator==(const microbatch_report&) const = default;
};

/// Microseconds a replica spent in one phase during a step ("route", "pack", "wire", ...), summed over its
/// microbatches. "wire" is its waiting for answers to its bundles: the experts' computing is part of it, and
/// in one process (--nodes 0) all there is.
struct phase_time {
  std::string phase;
  double microseconds = 0;

  bool operator==(const phase_time&) const = default;
};

/// Bytes of tensors that a replica exchanged with another process during a step; repeats are not counted.
struct node_traffic {
  node_id node = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;

  bool operator==(const node_traffic&) const = default;
};

/// Router → optimizer: a replica has finished its part of a step. Doubles as the replica's acknowledgement.
struct replica_report {
  term_id term;
  std::uint64_t step = 0;
  replica_id replica = 0;
  std::vector<microbatch_report> microbatches;
  std::vector<phase_time> phases;
  std::vector<node_traffic> traffic; ///< by node, ascending
  std::uint64_t bytes_copied = 0;    ///< payload bytes copied while packing

  bool operator==(const replica_report&) const = default;
};

} // namespace troupe
