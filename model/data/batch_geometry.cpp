#include "model/data/batch_geometry.hpp"

#include "messages/check.hpp"

#include <algorithm>
#include <numeric>
#include <string>

namespace troupe {

namespace {

std::uint64_t divide_up(std::uint64_t value, std::uint64_t by) {
  return value / by + (value % by != 0 ? 1 : 0);
}

/// `total` cut into `parts` parts that differ by at most one, larger first.
std::vector<std::uint32_t> split(std::uint64_t total, std::uint64_t parts) {
  std::vector<std::uint32_t> sizes(parts, static_cast<std::uint32_t>(total / parts));
  for (std::uint64_t i = 0; i < total % parts; ++i) ++sizes[i];
  return sizes;
}

void check_rows(std::uint64_t rows, std::uint64_t batch) {
  TROUPE_CHECK(rows > 0 && batch > 0, std::to_string(rows) + " rows in batches of " + std::to_string(batch));
}

} // namespace

std::uint64_t batch_cut::offset_of(std::uint32_t microbatch) const {
  TROUPE_CHECK(microbatch < microbatch_rows.size(),
               "microbatch " + std::to_string(microbatch) + " of " + std::to_string(microbatch_rows.size()));
  return std::accumulate(microbatch_rows.begin(), microbatch_rows.begin() + microbatch, std::uint64_t{0});
}

std::uint32_t batch_cut::lanes() const {
  return microbatch_lane.empty() ? 0 : microbatch_lane.back() + 1;
}

std::uint64_t steps_per_epoch(const schedule_options& options, std::uint64_t train_rows) {
  check_rows(train_rows, options.batch_size);
  return divide_up(train_rows, options.batch_size);
}

std::uint64_t train_steps(const schedule_options& options, std::uint64_t train_rows) {
  return options.max_steps != 0 ? options.max_steps : options.epochs * steps_per_epoch(options, train_rows);
}

std::uint64_t evaluation_batches(const schedule_options& options, std::uint64_t test_rows) {
  check_rows(test_rows, options.eval_batch_size);
  return divide_up(test_rows, options.eval_batch_size);
}

bool evaluation_due(const schedule_options& options, std::uint64_t train_rows, std::uint64_t updates) {
  if (updates == train_steps(options, train_rows)) return options.evaluate_at_end;
  if (updates == 0 || options.eval_interval_epochs == 0) return false;
  const auto per_epoch = steps_per_epoch(options, train_rows);
  return updates % per_epoch == 0 && updates / per_epoch % options.eval_interval_epochs == 0;
}

batch_cut cut_of(const schedule_options& options, std::uint64_t rows_of_part, step_kind kind,
                 std::uint64_t ordinal) {
  const auto batch = kind == step_kind::train ? options.batch_size : options.eval_batch_size;
  check_rows(rows_of_part, batch);
  TROUPE_CHECK(options.num_microbatches > 0 && options.lanes > 0,
               std::to_string(options.num_microbatches) + " microbatches in " + std::to_string(options.lanes)
                 + " lanes");
  const auto per_pass = divide_up(rows_of_part, batch);
  batch_cut cut;
  cut.epoch = ordinal / per_pass;
  cut.first = ordinal % per_pass * batch;
  cut.rows = std::min(batch, rows_of_part - cut.first);
  cut.microbatch_rows = split(cut.rows, std::min<std::uint64_t>(options.num_microbatches, cut.rows));
  const auto microbatches = cut.microbatch_rows.size();
  const auto runs = split(microbatches, std::min<std::uint64_t>(options.lanes, microbatches));
  for (std::uint32_t lane = 0; lane < runs.size(); ++lane)
    cut.microbatch_lane.insert(cut.microbatch_lane.end(), runs[lane], lane);
  return cut;
}

} // namespace troupe
