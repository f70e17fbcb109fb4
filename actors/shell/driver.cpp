#include "actors/shell/driver.hpp"

#include <chrono>
#include <thread>

namespace troupe {

void run_job(const workplace& place, const std::function<void()>& work) {
  if (place.slowness <= 1) return work();
  const auto begin = std::chrono::steady_clock::now();
  work();
  std::this_thread::sleep_for((std::chrono::steady_clock::now() - begin) * (place.slowness - 1));
}

void prepare_this_thread(const workplace& place) {
  thread_local bool prepared = false;
  if (std::exchange(prepared, true) || !place.prepare_thread) return;
  place.prepare_thread();
}

} // namespace troupe
