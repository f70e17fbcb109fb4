#include "launcher/node/news.hpp"

#include <algorithm>

namespace troupe::node {

namespace {

bool is_training_step(const news& n) {
  const auto* step = std::get_if<step_news>(&n);
  return step != nullptr && step->summary.permission.kind == step_kind::train;
}

} // namespace

void news_queue::push(news n) {
  const auto step = is_training_step(n);
  auto wake = !step;
  {
    std::lock_guard guard(mutex_);
    if (step) {
      if (steps_waiting_ == steps_waiting_max) {
        queue_.erase(std::ranges::find_if(queue_, is_training_step));
        ++left_out_;
      } else {
        wake = ++steps_waiting_ == steps_waking;
      }
    }
    queue_.push_back(std::move(n));
  }
  if (wake) wake_.notify_one();
}

std::optional<news> news_queue::pop(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  if (!wake_.wait_for(lock, patience, [this] { return !queue_.empty(); })) return std::nullopt;
  auto result = std::move(queue_.front());
  queue_.pop_front();
  if (is_training_step(result)) --steps_waiting_;
  return result;
}

std::uint64_t news_queue::left_out() const {
  std::lock_guard guard(mutex_);
  return left_out_;
}

head_observer news_queue::observer() {
  head_observer o;
  o.step_ended = [this](step_summary s) { push(step_news{std::move(s), std::chrono::steady_clock::now()}); };
  o.steps_exhausted = [this](std::uint64_t version) { push(exhausted_news{version}); };
  o.node_changed = [this](const node_event& e) { push(e); };
  o.nodes_idle = [this](const std::vector<std::string>& names) { push(idle_news{names}); };
  o.run_failed = [this](const error& e) { push(e); };
  o.states_collected = [this](const std::map<owner_id, tensor>& states) { push(states_news{states}); };
  return o;
}

} // namespace troupe::node
