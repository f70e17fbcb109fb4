#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>

namespace troupe::node {

/// What is done so that a core that waits for the next message is not put to sleep meanwhile: to wake one
/// costs tens of microseconds on virtual machines, and more where the host has given it away.
enum class wait_policy {
  active,  ///< the kernel is asked to keep the cores awake; nothing happens where it may not be asked
  passive, ///< nothing
};

/// `active` or `passive`; nothing for any other text.
std::optional<wait_policy> parse_wait_policy(const std::string& text);

/// Keeps the cores of this machine awake while messages come, and lets them sleep soon after the last one.
/// Done by a thread of its own, which lives as long as this. docs/decisions/0014
class wakefulness {
public:
  /// `latency_file`: where the kernel is told the longest wake-up that is allowed.
  explicit wakefulness(wait_policy policy, std::string latency_file = "/dev/cpu_dma_latency");
  ~wakefulness();

  wakefulness(const wakefulness&) = delete;
  wakefulness& operator=(const wakefulness&) = delete;

  /// A message has come. On any thread; a few nanoseconds, but for the first one after a silence.
  void stir() noexcept {
    if (!stirred_.load(std::memory_order_relaxed)) stir_anew();
  }

  /// The cores may sleep when nothing has come for so long, or up to twice that.
  static constexpr std::chrono::milliseconds silence_max{50};

private:
  void stir_anew() noexcept;
  void watch(const std::stop_token& end, const std::string& latency_file);

  std::atomic<bool> stirred_{false};
  std::jthread watcher_;
};

} // namespace troupe::node
