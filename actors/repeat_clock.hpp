#pragma once

#include "actors/outbox.hpp"

#include <algorithm>
#include <cstdint>

namespace troupe {

/// Ticks that a peer gets for so many bytes before the first repeat: 8 MiB a tick, 32 MiB/s. A repeat of what
/// is still on its way would only delay it.
constexpr tick_count ticks_for(std::uint64_t bytes) {
  return bytes / (std::uint64_t{8} << 20);
}

/// Says when an unanswered message is sent again: after `first` ticks, then after twice as long each time,
/// but never more than 16 times as long. So a slow peer gets few repeats, and one that lost several is not
/// left alone for long.
class repeat_clock {
public:
  static constexpr tick_count slowest = 16;

  repeat_clock() = default;

  repeat_clock(tick_count now, tick_count first) : first_(first), patience_(first), due_(now + first) {
    // nop
  }

  /// True if it is time to send again; the next time is then later.
  bool due(tick_count now) {
    if (now < due_) return false;
    patience_ = std::min(2 * patience_, slowest * first_);
    due_ = now + patience_;
    return true;
  }

private:
  tick_count first_ = 0;
  tick_count patience_ = 0;
  tick_count due_ = 0;
};

} // namespace troupe
