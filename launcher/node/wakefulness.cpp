#include "launcher/node/wakefulness.hpp"

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace troupe::node {

namespace {

/// Asks the kernel for cores that wake at once. It keeps the promise until the file is closed, also when this
/// process is killed.
class latency_request {
public:
  explicit latency_request(const std::string& file) : file_(::open(file.c_str(), O_WRONLY | O_CLOEXEC)) {
    constexpr std::int32_t microseconds = 0; // anything more lets a virtual machine give its cores away
    if (file_ >= 0 && ::write(file_, &microseconds, sizeof microseconds) < 0) close();
  }

  ~latency_request() { close(); }

  latency_request(const latency_request&) = delete;
  latency_request& operator=(const latency_request&) = delete;

private:
  void close() noexcept {
    if (file_ >= 0) ::close(std::exchange(file_, -1));
  }

  int file_;
};

} // namespace

std::optional<wait_policy> parse_wait_policy(const std::string& text) {
  if (text == "active") return wait_policy::active;
  if (text == "passive") return wait_policy::passive;
  return {};
}

wakefulness::wakefulness(wait_policy policy, std::string latency_file) {
  stirred_ = true; // nobody is to be told, unless there is a watcher
  if (policy == wait_policy::passive) return;
  try {
    watcher_ = std::jthread(
      [this, file = std::move(latency_file)](const std::stop_token& end) { watch(end, file); });
  } catch (const std::system_error&) {
    // One thread too many for this machine: its cores may sleep.
  }
}

wakefulness::~wakefulness() {
  watcher_.request_stop();
  stir_anew();
}

void wakefulness::stir_anew() noexcept {
  stirred_.store(true);
  stirred_.notify_one();
}

void wakefulness::watch(const std::stop_token& end, const std::string& latency_file) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  stirred_ = false;
  while (!end.stop_requested()) {
    stirred_.wait(false);
    const latency_request awake(latency_file);
    while (stirred_.exchange(false) && !end.stop_requested())
      wake.wait_for(lock, end, silence_max, [] { return false; });
  }
}

} // namespace troupe::node
