#pragma once

#include "actors/shell/actors.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <map>
#include <mutex>
#include <string>

namespace troupe::node {

/// What `troupe status` is told of a run's progress: the main thread writes it, the coordinator reads it. Any
/// thread.
class progress_board {
public:
  using time = std::chrono::steady_clock::time_point;

  /// The steps go on: one that ended at `at` is in the news, of whatever kind.
  void step_ended(time at);

  /// What is known of the last training step told (`recorder::progress`), and each node's rates.
  void write(nlohmann::ordered_json fields, std::map<node_id, node_rates> rates);

  /// The same as of `now`. After a silence of `silence_min`, and as long as five steps took, there are no
  /// rates, but `seconds_since_step`.
  run_progress read(time now, const std::string& run_id) const;

  static constexpr std::chrono::seconds silence_min{3};

private:
  bool silent_at(time now) const;

  mutable std::mutex mutex_;
  time last_end_{}; ///< of a step
  nlohmann::ordered_json fields_ = nlohmann::ordered_json::object();
  std::map<node_id, node_rates> rates_;
};

} // namespace troupe::node
