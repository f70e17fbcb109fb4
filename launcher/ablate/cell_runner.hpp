#pragma once

#include "launcher/ablate/progress.hpp"
#include "launcher/ablate/store.hpp"
#include "launcher/ablate/summary.hpp"
#include "launcher/supervisor.hpp"
#include "launcher/terminal.hpp"

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>

namespace troupe::ablate {

/// Runs cells, several at a time, each in a process of its own: a head without nodes. A cell that fails
/// leaves its error in its outcome and the others go on. Belongs to the thread of the supervisor.
class cell_runner : public launcher::listener {
public:
  /// Fills in `all.outcomes` of the cells in `todo`; each finished one is saved at once.
  cell_runner(launcher::supervisor& children, const result_store& store, ablation& all,
              std::deque<std::size_t> todo, std::size_t jobs);

  /// Returns when no cell is left, or after Ctrl-C. Errors: a process that cannot be started or a
  /// result that cannot be saved, which end the others.
  expected<void> run();

  bool interrupted() const { return children_.interrupted(); }

  void on_event(launcher::child& from, const launcher::any_event& what) override;
  void on_broken_event(launcher::child& from, const error& why) override;
  void on_end(launcher::child& ended) override;
  void on_interrupt() override;
  void on_suspend() override;

private:
  using clock = std::chrono::steady_clock;

  /// A process and what it has said.
  struct job {
    std::size_t cell = 0;
    running_cell progress;
    std::string error;
    std::string digest;
    std::vector<std::string> warnings;
    std::optional<launcher::done_event> done;
  };

  void start_next();
  void start(std::size_t cell);
  void conclude(const launcher::child& ended, job& of);
  expected<cell_result> result_of(const job& of) const;
  void keep(const job& of, cell_result result);
  void fail_cell(std::size_t cell, const std::string& why);
  /// For what the other cells would meet too: no process, no disk.
  void give_up(const error& why);
  void show();
  void say(std::size_t cell, const std::string& text);

  launcher::supervisor& children_;
  const result_store& store_;
  ablation& all_;
  std::deque<std::size_t> todo_;
  std::size_t jobs_;
  std::map<const launcher::child*, job> running_;
  cell_counts counts_;
  std::optional<error> fatal_;
  launcher::terminal terminal_;
  launcher::live_region display_;
  clock::time_point began_;
};

} // namespace troupe::ablate
