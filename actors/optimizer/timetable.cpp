#include "actors/optimizer/timetable.hpp"

#include "model/data/batch_geometry.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace troupe {

double learning_rate_at(const optimizer_options& options, std::uint64_t index, std::uint64_t total) {
  const auto top = options.learning_rate;
  if (index < options.warmup_steps)
    return top * static_cast<double>(index + 1) / static_cast<double>(options.warmup_steps);
  if (options.schedule == "constant" || total <= options.warmup_steps + 1) return top;
  const auto span = static_cast<double>(total - options.warmup_steps - 1);
  const auto along = std::min(1.0, static_cast<double>(index - options.warmup_steps) / span);
  const auto left = options.schedule == "linear" ? 1 - along : (1 + std::cos(std::numbers::pi * along)) / 2;
  return options.min_learning_rate + (top - options.min_learning_rate) * left;
}

timetable::timetable(schedule_options options, std::uint64_t train_rows, std::uint64_t test_rows,
                     bool training)
  : options_(options), train_rows_(train_rows),
    updates_total_(training ? train_steps(options, train_rows) : 0),
    evaluation_batches_(test_rows == 0 ? 0 : evaluation_batches(options, test_rows)),
    evaluation_left_(training ? 0 : evaluation_batches_) {
  // nop
}

std::optional<timetable::entry> timetable::next() {
  if (evaluation_left_ > 0) {
    --evaluation_left_;
    return entry{step_kind::evaluate, evaluation_batches_ - evaluation_left_ - 1, evaluation_left_ == 0,
                 updates_};
  }
  if (updates_ == updates_total_) return std::nullopt;
  const entry result{step_kind::train, updates_, false, updates_};
  if (evaluation_due(options_, train_rows_, ++updates_)) evaluation_left_ = evaluation_batches_;
  return result;
}

} // namespace troupe
