#pragma once

#include <chrono>
#include <cstdint>
#include <thread>

namespace troupe::node {

/// What the kernel knows of an established connection (`tcp_info`).
struct contact {
  std::chrono::milliseconds silence{0}; ///< since the other machine's kernel last confirmed anything
  unsigned repeats = 0;                 ///< of the oldest unconfirmed data, since something was confirmed
  unsigned probes = 0;                  ///< without an answer in a row: keep-alive, or of a full window
};

/// Whether the other machine no longer answers. A process that is stopped or slow does not matter: its kernel
/// answers. While it takes no data, the kernel here asks less and less often, so silence alone means nothing.
bool is_gone(const contact& c) noexcept;

/// Cuts the connections of this process whose other machine has vanished without closing them (power,
/// network), so that CAF sees them end, three to five seconds after; CAF itself waits for half a minute.
/// Looks once a second, on a thread of its own, at what has `port` at either end, until it is destroyed.
class connection_watch {
public:
  explicit connection_watch(std::uint16_t port);

private:
  std::jthread thread_;
};

} // namespace troupe::node
