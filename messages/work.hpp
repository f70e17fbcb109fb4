#pragma once

#include "messages/ids.hpp"
#include "messages/plan.hpp"
#include "messages/tensor.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// Router → loader: asks for one microbatch of `step` (again, if the answer got lost), or has it read for
/// later.
struct fetch {
  /// As `replica`: have the rows ready, somebody will ask.
  static constexpr replica_id nobody = 0xffff;

  term_id term;
  std::uint64_t step = 0;
  step_kind kind = step_kind::train;
  std::uint64_t ordinal = 0;
  std::uint32_t microbatch = 0;
  replica_id replica = 0;
};

/// Loader → router: one microbatch. `inputs` [rows, width] u8, f32 or f64; `labels` [rows] i64 (absent:
/// none); `ids` [rows] i64, each row's index in the data set.
struct batch {
  term_id term;
  std::uint64_t step = 0;
  std::uint32_t microbatch = 0;
  tensor inputs;
  tensor labels;
  tensor ids;
};

/// Where one expert's rows stand in a bundle's index list: [begin, end).
struct expert_span {
  owner_id owner;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;

  bool operator==(const expert_span&) const = default;
};

/// Router → host: the bundle of one (layer, microbatch) for one node. Names all experts of that node and
/// layer, also those without rows.
struct dispatch {
  work_id id;
  replica_id replica = 0;
  bool keep = true; ///< a gradient follows (false in evaluations)
  tensor rows;      ///< [R, width], each row once
  tensor indices;   ///< [N] i32: for each (expert, token) the row of `rows`, experts in order of `experts`,
                    ///< tokens ascending
  std::vector<expert_span> experts;
  std::shared_ptr<const plan> permission = {}; ///< the step's plan, with a router's first bundle for a node
};

/// One tensor that belongs to an owner.
struct owner_tensor {
  owner_id owner;
  tensor value;
};

/// Host → router: unweighted output rows, one [n_e, out] tensor per expert of the bundle, in the bundle's
/// order.
struct combine {
  work_id id;
  node_id node = 0;
  std::vector<owner_tensor> outputs;
  std::optional<applied> done = {}; ///< for the optimizer: what the node's experts had done before
};

/// Router → host: dL/dy of the bundle's rows and the gates of its (expert, token) pairs.
struct gradient {
  work_id id;
  replica_id replica = 0;
  bool input_wanted = false; ///< answer with `input_gradient`
  tensor rows;               ///< [R, out], same row order as the dispatch
  tensor gates;              ///< [N], same order as the dispatch's indices
};

/// Host → router: dL/dx, one [n_e, width] tensor per expert of the bundle.
struct input_gradient {
  work_id id;
  node_id node = 0;
  std::vector<owner_tensor> gradients;
};

/// Router → dense owner: the gradient of one lane of a step, already folded over its microbatches.
/// `value` is absent in evaluations.
struct dense_gradient {
  term_id term;
  std::uint64_t step = 0;
  std::uint16_t stage = 0;
  std::uint32_t lane = 0;
  tensor value;
};

/// Dense owner → routers: the parameters of a stage at a version.
struct dense_parameters {
  term_id term;
  std::uint64_t version = 0;
  std::uint16_t stage = 0;
  tensor value;
};

/// Work that was not done, and why. To whoever sent the work: it came late, or names what is not here. To the
/// coordinator: any error that ends the run.
struct refusal {
  work_id id;
  std::string reason;
  bool late = false; ///< nobody's fault: work of an earlier membership, or a repeat of what all have done;
                     ///< whoever sent it has gone on or will. Otherwise sending again does not help
};

} // namespace troupe
