#include "launcher/node/interruption.hpp"

#include <atomic>
#include <csignal>

namespace troupe::node {

namespace {

std::atomic<int> signal_seen = 0;
static_assert(std::atomic<int>::is_always_lock_free); // a signal's handler may use it

} // namespace

void look_for_interruption() {
  struct sigaction action {};
  action.sa_handler = [](int signal) { signal_seen = signal; };
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGTERM, SIGINT}) ::sigaction(signal, &action, nullptr);
}

bool interrupted() noexcept {
  return signal_seen != 0;
}

void end_by_interruption() {
  std::raise(signal_seen); // its handler went when it came
}

} // namespace troupe::node
