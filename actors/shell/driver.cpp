#include "actors/shell/driver.hpp"

#include "model/run_failure.hpp"

#include <chrono>
#include <thread>

namespace troupe {

bool run_job(const workplace& place, const std::string& who, const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  try {
    work();
  } catch (...) { // the parts that a program adds may throw anything
    if (place.run_failed) place.run_failed(failure_in_flight(who));
    return false;
  }
  if (place.slowness > 1)
    std::this_thread::sleep_for((std::chrono::steady_clock::now() - begin) * (place.slowness - 1));
  return true;
}

void prepare_this_thread(const workplace& place) {
  thread_local bool prepared = false;
  if (std::exchange(prepared, true) || !place.prepare_thread) return;
  place.prepare_thread();
}

} // namespace troupe
