#include "actors/shell/compute_pool.hpp"

#include <utility>

namespace troupe {

bool compute_pool::strand::idle() const {
  std::lock_guard guard(mutex_);
  return !scheduled_;
}

compute_pool::compute_pool(std::size_t threads, std::function<void()> prepare)
  : prepare_(std::move(prepare)) {
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

compute_pool::~compute_pool() {
  {
    std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& t : threads_) t.join();
}

void compute_pool::submit(const std::shared_ptr<strand>& where, item work) {
  const auto priority = work.priority;
  {
    std::lock_guard guard(where->mutex_);
    where->waiting_.push_back(std::move(work));
    if (std::exchange(where->scheduled_, true)) return;
  }
  schedule(where, priority);
}

void compute_pool::schedule(std::shared_ptr<strand> from, std::uint64_t priority) {
  {
    std::lock_guard guard(mutex_);
    ready_.push({priority, order_++, std::move(from)});
  }
  wake_.notify_one();
}

void compute_pool::run() {
  if (prepare_) prepare_();
  for (;;) {
    std::shared_ptr<strand> from;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !ready_.empty(); });
      if (stopping_) return;
      from = ready_.top().from;
      ready_.pop();
    }
    item next;
    {
      std::lock_guard guard(from->mutex_);
      next = std::move(from->waiting_.front());
      from->waiting_.pop_front();
    }
    next.work();
    next.work = nullptr;
    std::unique_lock lock(from->mutex_);
    if (from->waiting_.empty()) {
      from->scheduled_ = false;
      continue;
    }
    const auto priority = from->waiting_.front().priority;
    lock.unlock();
    schedule(std::move(from), priority);
  }
}

} // namespace troupe
