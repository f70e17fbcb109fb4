#include "launcher/node/news.hpp"

namespace troupe::node {

void news_queue::push(news n) {
  {
    std::lock_guard guard(mutex_);
    queue_.push_back(std::move(n));
  }
  wake_.notify_one();
}

std::optional<news> news_queue::pop(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  if (!wake_.wait_for(lock, patience, [this] { return !queue_.empty(); })) return std::nullopt;
  auto result = std::move(queue_.front());
  queue_.pop_front();
  return result;
}

head_observer news_queue::observer() {
  head_observer o;
  o.step_ended = [this](step_summary s) { push(step_news{std::move(s), std::chrono::steady_clock::now()}); };
  o.steps_exhausted = [this](std::uint64_t version) { push(exhausted_news{version}); };
  o.node_changed = [this](const node_event& e) { push(e); };
  o.run_failed = [this](const error& e) { push(e); };
  o.states_collected = [this](const std::map<owner_id, tensor>& states) { push(states_news{states}); };
  return o;
}

} // namespace troupe::node
