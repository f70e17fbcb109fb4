#pragma once

#include "simulation/scenario.hpp"

#include <functional>
#include <queue>
#include <utility>
#include <vector>

namespace troupe::simulation {

/// What happens when. Events of the same instant happen in the order in which they were added.
class event_queue {
public:
  instant now() const noexcept { return now_; }

  std::uint64_t happened() const noexcept { return happened_; }

  void in(instant delay, std::function<void()> what) { at(now_ + delay, std::move(what)); }

  void at(instant when, std::function<void()> what) { events_.push({when, added_++, std::move(what)}); }

  /// Lets the next event happen. False if there is none.
  bool step() {
    if (events_.empty()) return false;
    const auto what = std::move(const_cast<event&>(events_.top()).what);
    now_ = events_.top().when;
    events_.pop();
    ++happened_;
    what();
    return true;
  }

private:
  struct event {
    instant when = 0;
    std::uint64_t number = 0;
    std::function<void()> what;

    bool operator<(const event& other) const noexcept { // the queue's top is the largest
      return when != other.when ? when > other.when : number > other.number;
    }
  };

  std::priority_queue<event> events_;
  instant now_ = 0;
  std::uint64_t added_ = 0;
  std::uint64_t happened_ = 0;
};

} // namespace troupe::simulation
