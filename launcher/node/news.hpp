#pragma once

#include "actors/shell/actors.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace troupe::node {

/// A training or evaluation step has ended, `at` on the steady clock.
struct step_news {
  step_summary summary;
  std::chrono::steady_clock::time_point at;
};

/// All steps of the run have ended; every owner is at this version.
struct exhausted_news {
  std::uint64_t version = 0;
};

struct states_news {
  std::map<owner_id, tensor> states;
};

/// The nodes without which the run can go on, by name: who dies of them does not end it.
struct idle_news {
  std::vector<std::string> names;
};

/// Nothing that ends the run, but people should know.
struct warning_news {
  std::string text;
};

using news = std::variant<step_news, exhausted_news, node_event, idle_news, error, states_news, warning_news>;

/// What the head's actors tell its main thread. Threading: any number of writers, one reader.
class news_queue {
public:
  /// Training steps that wait: seconds of the fastest runs. The reader writes files and events, which may
  /// block; the run does not wait for it. Evaluation steps, parts of one sum, and all else are few.
  static constexpr std::size_t steps_waiting_max = 1024;

  /// Training steps wake the reader when so many wait: one by one they would take a core from the run for
  /// each. Before that they are read when its patience ends, or with the next other piece of news.
  static constexpr std::size_t steps_waking = 128;

  /// Leaves the oldest training step out when more than `steps_waiting_max` would wait.
  void push(news n);

  /// Training steps left out so far.
  std::uint64_t left_out() const;

  /// The next piece of news, or nothing when `patience` is over.
  std::optional<news> pop(std::chrono::milliseconds patience);

  /// Callbacks that push.
  head_observer observer();

private:
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<news> queue_;
  std::size_t steps_waiting_ = 0; ///< training steps in `queue_`
  std::uint64_t left_out_ = 0;
};

} // namespace troupe::node
