#pragma once

#include "actors/optimizer/core.hpp"
#include "actors/shell/actors.hpp"
#include "launcher/node/event_writer.hpp"
#include "launcher/node/options.hpp"
#include "model/routing/collapse_watch.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe::node {

/// What has not been measured is null.
nlohmann::ordered_json or_null(std::optional<double> value);

/// One step's numbers, summed over its microbatches in plan order.
struct step_record {
  double loss = 0; ///< mean task loss over the rows
  double correct = 0;
  std::uint64_t rows = 0;
  std::vector<std::vector<std::uint64_t>> expert_rows; ///< by layer
  std::vector<std::map<std::string, double>> values;   ///< by layer: row-weighted means
  std::vector<std::uint64_t> expert_class;             ///< layer 0: rows per (expert, class), row-major
  std::map<std::string, double> phases;                ///< µs, summed over replicas
  std::map<node_id, node_traffic> traffic;             ///< with other processes, summed over replicas
  std::uint64_t bytes_copied = 0;

  std::uint64_t bytes_sent() const;
};

step_record record_of(const step_summary& summary);

/// Turns step summaries into events, metrics lines and the benchmark file.
class recorder {
public:
  recorder(const head_options& options, std::uint64_t updates, std::uint64_t steps_per_epoch,
           event_writer& events);

  expected<void> open();

  /// `seconds`: since the run's first plan. Returns whether `progress` and `rates` have changed.
  bool take(const step_summary& summary, double seconds);

  /// Means over the training steps after the first fifth, for `--bench-json`.
  expected<void> write_bench() const;

  /// Writes what is left of the metrics. An error names the file if any line did not get there, or if
  /// `left_out` steps were never taken.
  expected<void> close_metrics(std::uint64_t left_out);

  /// What `troupe status` shows of the run's progress.
  nlohmann::ordered_json progress() const;

  /// What goes on at each node, by the placement, the load and the traffic of the last step told; empty
  /// until rates are measured.
  std::map<node_id, node_rates> rates() const;

  /// Of the last steps; nothing before the second one.
  std::optional<double> samples_per_second() const;
  std::optional<double> steps_per_second() const;

  /// Of the whole run's training; the time of evaluations does not count.
  std::optional<double> samples_per_second_of_run() const;

private:
  bool training_step(const step_summary& summary, const step_record& r, double seconds);
  void evaluation_step(const step_summary& summary, const step_record& r);
  void watch_for_collapse(const step_record& r);
  void write_metrics(nlohmann::ordered_json line, const step_summary& summary, const step_record& r);
  nlohmann::ordered_json step_event(const step_summary& summary, const step_record& r) const;

  /// A training step as far as rates need it.
  struct mark {
    double seconds = 0;
    std::uint64_t rows = 0;
  };

  const head_options& options_;
  std::uint64_t updates_;
  std::uint64_t steps_per_epoch_;
  event_writer& events_;
  std::ofstream metrics_;
  std::vector<mark> recent_;     ///< the last 64 training steps
  std::uint64_t rows_total_ = 0; ///< of training steps of which it is known how long they took
  double seconds_total_ = 0;     ///< that these took
  double last_end_ = -1;         ///< of a step, on the clock of `take`
  double last_event_seconds_ = -1;
  std::uint64_t steps_done_ = 0;
  step_record evaluation_;
  std::vector<collapse_watch> watches_; ///< by layer
  nlohmann::ordered_json last_;
  std::map<node_id, node_rates> last_node_sums_; ///< of the last step told, not yet per second
  std::vector<node_id> placement_;               ///< as last written to the metrics file
  // Benchmark sums after the warm-up.
  std::uint64_t bench_steps_ = 0;
  std::uint64_t bench_rows_ = 0;
  double bench_begin_ = 0;
  double bench_end_ = 0;
  std::map<std::string, double> bench_phases_;
  std::uint64_t bench_bytes_sent_ = 0;
  std::uint64_t bench_bytes_copied_ = 0;
};

} // namespace troupe::node
