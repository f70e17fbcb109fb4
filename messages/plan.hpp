#pragma once

#include "messages/ids.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// What a step does. An evaluation runs forward only, takes no optimizer step, and still counts as a step.
enum class step_kind : std::uint8_t { train, evaluate };

/// One microbatch of a step: `rows` tokens, folded in `lane`, driven by `replica`.
struct microbatch_plan {
  std::uint32_t lane = 0;
  replica_id replica = 0;
  std::uint32_t rows = 0;

  bool operator==(const microbatch_plan&) const = default;
};

/// The optimizer's permission for one step. Nothing of the step is sent without it, and every change of
/// placement enters through it. Issued when every owner has reported `applied(step - 2)`. A node with experts
/// gets it inside the step's first `dispatch`, unless the placement is new.
struct plan {
  term_id term;
  std::uint64_t step = 0;
  step_kind kind = step_kind::train;
  bool last = false;         ///< no step of this kind comes right after it: what could wait for one does not
  std::uint64_t ordinal = 0; ///< train: optimizer updates before this one; evaluate: index of the evaluation
                             ///< batch
  std::uint64_t rows = 0;    ///< T, tokens of the whole step
  double learning_rate = 0;  ///< of this update
  double clip_norm = 0;      ///< 0: no clipping
  bool clip_local = false;   ///< each owner clips by its own norm; otherwise by the global one, through
                             ///< `commit`
  std::vector<microbatch_plan> microbatches;
  std::uint64_t placement_version = 0;
  std::vector<node_id> placement; ///< node of each expert owner, index = layer * owners per layer + expert

  bool operator==(const plan&) const = default;
};

/// Squared gradient norms (fp64) of some owners, before clipping. Answered by `commit`.
struct norm_report {
  struct entry {
    owner_id owner;
    double squared = 0;

    bool operator==(const entry&) const = default;
  };

  term_id term;
  std::uint64_t step = 0;
  std::vector<entry> norms;

  bool operator==(const norm_report&) const = default;
};

/// The factor by which every owner multiplies its gradient before its own optimizer step.
struct commit {
  term_id term;
  std::uint64_t step = 0;
  double scale = 1;

  bool operator==(const commit&) const = default;
};

/// These owners have applied `step`: their version is now step + 1. A node's goes home inside a `combine` of
/// the next step where it can, and by itself where a plan is repeated.
struct applied {
  term_id term;
  std::uint64_t step = 0;
  std::vector<owner_id> owners;
  double forward_us = 0;  ///< time that the owners spent computing the step, summed: for benchmarks
  double backward_us = 0; ///< weight gradients included
  double apply_us = 0;

  bool operator==(const applied&) const = default;
};

} // namespace troupe
