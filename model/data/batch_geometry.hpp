#pragma once

#include "messages/plan.hpp"
#include "model/configuration.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

// How a data set's rows fall into steps, microbatches and lanes: pure functions of the configuration and the
// number of rows, so that optimizer, loader and routers agree without asking each other. Nothing here depends
// on nodes or replicas. All row counts are of one part (training or test) and at least 1; the options are
// those that `validate` accepts.

/// The rows of one step and how they are cut.
struct batch_cut {
  std::uint64_t epoch = 0;                    ///< passes over the part before this one
  std::uint64_t first = 0;                    ///< first row, within the epoch's order
  std::uint64_t rows = 0;                     ///< T: the batch size, or what is left at the end of an epoch
  std::vector<std::uint32_t> microbatch_rows; ///< contiguous, each at least 1, sizes differ by at most one,
                                              ///< larger first
  std::vector<std::uint32_t> microbatch_lane; ///< contiguous runs 0, 0, 1, 1, ...; run lengths differ by at
                                              ///< most one, longer first

  /// Rows of `microbatch` are [first + offset, first + offset + microbatch_rows[microbatch]).
  std::uint64_t offset_of(std::uint32_t microbatch) const;

  /// Number of lanes in use: at most `lanes`, never more than there are microbatches.
  std::uint32_t lanes() const;

  bool operator==(const batch_cut&) const = default;
};

/// Training steps of one pass: ceil(rows / batch_size). A ragged last batch is trained, not dropped.
std::uint64_t steps_per_epoch(const schedule_options& options, std::uint64_t train_rows);

/// Training steps of the whole run: `max_steps`, or `epochs` passes if that is 0.
std::uint64_t train_steps(const schedule_options& options, std::uint64_t train_rows);

/// Evaluation steps of one pass over the test part: ceil(rows / eval_batch_size).
std::uint64_t evaluation_batches(const schedule_options& options, std::uint64_t test_rows);

/// Whether an evaluation pass follows once `updates` training steps are done: at the end of every
/// `eval_interval_epochs`-th epoch, and after the last step if `evaluate_at_end`.
bool evaluation_due(const schedule_options& options, std::uint64_t train_rows, std::uint64_t updates);

/// The cut of training step `ordinal` (0 = first; beyond one epoch it goes on with the next) or of evaluation
/// batch `ordinal` (beyond one pass it starts over). There are min(num_microbatches, rows of the step)
/// microbatches.
batch_cut cut_of(const schedule_options& options, std::uint64_t rows_of_part, step_kind kind,
                 std::uint64_t ordinal);

} // namespace troupe
