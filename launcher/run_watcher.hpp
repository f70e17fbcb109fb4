#pragma once

#include "launcher/console.hpp"
#include "launcher/events.hpp"
#include "launcher/supervisor.hpp"
#include "launcher/terminal.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string>

namespace troupe::launcher {

/// What a run shows and how it ends.
struct watch_options {
  std::uint64_t log_interval = 100; ///< plain lines; 0: none
  std::string invitation;           ///< how others join, {} for the address; empty: nobody may
  std::string caution;              ///< to be said when others may join
  /// The head listens: starts the local nodes.
  std::function<expected<void>(const listening_event&)> start_nodes;
  std::uint32_t local_nodes = 0;
  bool saves = false; ///< the model is to be saved in the end
};

/// Follows a head and its local nodes to the end: shows progress, decides which end was a surprise, and why
/// the run failed.
class run_watcher : public listener {
public:
  run_watcher(supervisor& children, watch_options options);

  /// After supervisor::run(): clears the display, prints the outcome, returns the exit code.
  int conclude();

  void on_event(child& from, const any_event& what) override;
  void on_broken_event(child& from, const error& why) override;
  void on_end(child& ended) override;
  void on_interrupt() override;
  void on_suspend() override;

private:
  using clock = std::chrono::steady_clock;

  void see(child& from, const unknown_event& event);
  void see(child& from, const listening_event& event);
  void see(child& from, const node_event& event);
  void see(child& from, const joined_event& event);
  void see(child& from, const idle_event& event);
  void see(child& from, const start_event& event);
  void see(child& from, const step_event& event);
  void see(child& from, const evaluation_event& event);
  void see(child& from, const digest_event& event);
  void see(child& from, const saved_event& event);
  void see(child& from, const warning_event& event);
  void see(child& from, const error_event& event);
  void see(child& from, const done_event& event);

  bool is_head(const child& which) const;
  /// Whether the run can go on without this node.
  bool is_idle(const child& which) const { return idle_.contains(which.name()); }
  bool training() const { return start_.train_steps > 0; }
  void on_head_end(child& ended);
  /// What is said about a failure, the best explanation last: a process's sudden end explains what others
  /// said about it.
  enum class weight { none, reported, ended };
  /// Ends the run. The first failure of the greatest weight is the one that people see.
  void fail_run(child& from, error problem, weight how);
  void say(const std::string& line);
  void complain(const std::string& text);
  double seconds_left() const;
  std::string where() const;
  void print_summary() const;

  supervisor& children_;
  watch_options options_;
  terminal terminal_;
  live_region display_;
  std::optional<failure> failure_;
  weight failure_weight_ = weight::none;
  std::set<const child*> reported_; ///< processes that said themselves what went wrong
  std::set<std::string> idle_;      ///< nodes without which the run can go on
  std::uint32_t joined_ = 0;
  start_event start_;
  std::optional<step_event> step_;
  std::optional<evaluation_event> evaluation_;
  std::optional<done_event> done_;
  bool saved_ = false;
  clock::time_point first_step_at_{};
  std::uint64_t first_step_ = 0;
};

} // namespace troupe::launcher
