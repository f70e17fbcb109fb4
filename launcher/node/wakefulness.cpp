#include "launcher/node/wakefulness.hpp"

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sched.h>
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

/// A few cycles for the core's other thread.
void rest() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// A thread on every core of this process, which gives way to all others, and runs on while it is told to.
class idle_threads {
public:
  idle_threads() {
    cpu_set_t allowed;
    if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    for (int core = 0; core < CPU_SETSIZE; ++core)
      if (CPU_ISSET(core, &allowed)) start_on(core);
  }

  ~idle_threads() {
    ended_ = true;
    run(true);
    for (auto& t : threads_) t.join();
  }

  idle_threads(const idle_threads&) = delete;
  idle_threads& operator=(const idle_threads&) = delete;

  void run(bool wished) noexcept {
    running_.store(wished);
    running_.notify_all();
  }

private:
  void start_on(int core) {
    try {
      threads_.emplace_back([this, core] { spin(core); });
    } catch (const std::system_error&) {
      // One thread too many for this machine: its core may sleep.
    }
  }

  void spin(int core) const noexcept {
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(core, &here);
    const sched_param lowest{};
    if (::sched_setaffinity(0, sizeof here, &here) != 0 || ::sched_setscheduler(0, SCHED_IDLE, &lowest) != 0)
      return;
    while (!ended_) {
      running_.wait(false);
      while (running_.load(std::memory_order_relaxed) && !ended_.load(std::memory_order_relaxed)) rest();
    }
  }

  std::atomic<bool> running_{false};
  std::atomic<bool> ended_{false};
  std::vector<std::thread> threads_;
};

} // namespace

std::optional<wait_policy> parse_wait_policy(const std::string& text) {
  if (text == "auto") return wait_policy::automatic;
  if (text == "active") return wait_policy::active;
  if (text == "passive") return wait_policy::passive;
  return {};
}

wakefulness::wakefulness(wait_policy policy, std::string latency_file) {
  if (policy == wait_policy::passive) {
    stirred_ = true; // for ever: nobody is to be told
    return;
  }
  const bool spins = policy == wait_policy::active;
  watcher_ = std::jthread(
    [this, spins, file = std::move(latency_file)](const std::stop_token& end) { watch(end, file, spins); });
}

wakefulness::~wakefulness() {
  watcher_.request_stop();
  stir_anew();
}

void wakefulness::stir_anew() noexcept {
  stirred_.store(true);
  stirred_.notify_one();
}

void wakefulness::watch(const std::stop_token& end, const std::string& latency_file, bool spins) {
  std::optional<idle_threads> threads;
  if (spins) threads.emplace();
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  while (!end.stop_requested()) {
    stirred_.wait(false);
    const latency_request awake(latency_file);
    if (threads) threads->run(true);
    while (stirred_.exchange(false) && !end.stop_requested())
      wake.wait_for(lock, end, silence_max, [] { return false; });
    if (threads) threads->run(false);
  }
}

} // namespace troupe::node
