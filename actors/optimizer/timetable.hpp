#pragma once

#include "messages/plan.hpp"
#include "model/configuration.hpp"

#include <cstdint>
#include <optional>

namespace troupe {

/// The learning rate of update `index` of `total`: warm-up linear from 0, then constant, linear or cosine
/// down to the minimum at the last update.
double learning_rate_at(const optimizer_options& options, std::uint64_t index, std::uint64_t total);

/// The steps of a run in order: training updates with evaluation passes between them. A pure function of its
/// inputs.
class timetable {
public:
  struct entry {
    step_kind kind = step_kind::train;
    std::uint64_t ordinal = 0;
    bool last_of_evaluation = false;
    std::uint64_t updates_before = 0; ///< training updates issued before this step
  };

  /// `training` false: one evaluation pass and nothing else.
  timetable(schedule_options options, std::uint64_t train_rows, std::uint64_t test_rows,
            bool training = true);

  /// The next step, or nothing at the end of the run.
  std::optional<entry> next();

  /// After a step of this kind `next` gives another of it.
  bool goes_on(step_kind kind) const noexcept {
    return kind == step_kind::evaluate ? evaluation_left_ > 0
                                       : evaluation_left_ == 0 && updates_ < updates_total_;
  }

  std::uint64_t updates_total() const noexcept { return updates_total_; }

private:
  schedule_options options_;
  std::uint64_t train_rows_;
  std::uint64_t updates_total_;
  std::uint64_t evaluation_batches_;
  std::uint64_t updates_ = 0;
  std::uint64_t evaluation_left_ = 0;
};

} // namespace troupe
