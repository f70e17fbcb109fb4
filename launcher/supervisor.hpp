#pragma once

#include "launcher/child.hpp"

#include <chrono>
#include <deque>
#include <memory>
#include <optional>

#include <signal.h>

namespace troupe::launcher {

/// What happens to the children of a supervisor. Called from supervisor::run(), one at a time.
class listener {
public:
  virtual ~listener() = default;
  virtual void on_event(child& from, const any_event& what) = 0;
  /// A child wrote something that is no event.
  virtual void on_broken_event(child& from, const error& why) = 0;
  /// A child has ended; everything it wrote has been handed over before.
  virtual void on_end(child& ended) = 0;
  /// A Ctrl-C or SIGTERM, before anything is asked to end. True: it is seen to; the next one counts as the
  /// first.
  virtual bool absorbs_interrupt() { return false; }
  /// The first Ctrl-C or SIGTERM: the children have been asked to end.
  virtual void on_interrupt() = 0;
  /// About to be stopped by Ctrl-Z: leave the terminal in order.
  virtual void on_suspend() = 0;
};

/// Starts node processes, hands their events on and ends them: none outlives it.
///
/// Signals: the first SIGINT, SIGTERM or SIGHUP asks every child to end (SIGTERM) and kills what is left
/// after `interrupt_grace`; a second SIGINT kills at once. Ctrl-Z stops the children too. While a supervisor
/// exists these signals are blocked and read from a descriptor, so there is one per process, used by the
/// thread that made it.
class supervisor {
public:
  static constexpr std::chrono::milliseconds interrupt_grace{5000};
  static constexpr std::chrono::milliseconds failure_grace{2000}; ///< of a run that has failed
                                                                  ///< within 3 s

  supervisor();
  ~supervisor();
  supervisor(const supervisor&) = delete;
  supervisor& operator=(const supervisor&) = delete;

  /// Starts a child, unless the run is being stopped already. The reference stays valid.
  expected<child*> start(const child_options& options);

  /// Waits for events and ends until no child runs any more.
  void run(listener& listener);

  /// Asks all children to end now, and kills what is left after `grace`.
  void stop(std::chrono::milliseconds grace);
  /// Asks all children to end unless they have ended by themselves after `patience`.
  void stop_after(std::chrono::milliseconds patience);

  bool stopping() const { return stopping_; }
  bool interrupted() const { return interrupted_; }
  const std::deque<child>& children() const { return children_; }

private:
  using clock = std::chrono::steady_clock;

  void wait_for_something();
  void read_signals(listener& listener);
  void handle_signal(int signal, listener& listener);
  void suspend(listener& listener);
  void hand_over_events(child& from, listener& listener);
  void enforce_deadlines();
  void send_to_all(int signal);
  bool any_running() const;

  std::deque<child> children_; ///< a deque, so that references stay valid
  int signals_ = -1;           ///< signalfd
  sigset_t previous_mask_{};
  bool stopping_ = false;
  bool interrupted_ = false;
  std::optional<clock::time_point> ask_at_;
  std::optional<clock::time_point> kill_at_;
};

} // namespace troupe::launcher
