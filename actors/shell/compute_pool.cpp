#include "actors/shell/compute_pool.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

namespace troupe {

bool compute_pool::strand::idle() const {
  std::lock_guard guard(mutex_);
  return !scheduled_;
}

compute_pool::compute_pool(std::size_t threads, std::function<void()> prepare)
  : state_(std::make_shared<state>()) {
  state_->prepare = std::move(prepare);
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([state = state_] { state->run(); });
}

compute_pool::~compute_pool() {
  std::priority_queue<entry> dropped; // destroyed without the lock: jobs may hold whatever they like
  {
    std::lock_guard guard(state_->mutex);
    state_->stopping = true;
    std::swap(dropped, state_->ready);
  }
  state_->wake.notify_all();
  for (auto& t : threads_)
    if (t.get_id() == std::this_thread::get_id())
      t.detach();
    else
      t.join();
}

void compute_pool::submit(const std::shared_ptr<strand>& where, item work) {
  const auto priority = work.priority;
  {
    std::lock_guard guard(where->mutex_);
    where->waiting_.push_back(std::move(work));
    if (std::exchange(where->scheduled_, true)) return;
  }
  state_->schedule(where, priority);
}

void compute_pool::share(std::size_t parts, const std::function<void(std::size_t)>& work) {
  struct common {
    const std::function<void(std::size_t)>& work; // only looked at by who has taken a part: then it is still
                                                  // there
    const std::size_t parts;
    std::atomic<std::size_t> taken = 0;
    std::atomic<std::size_t> done = 0;

    void help() {
      for (std::size_t i = taken++; i < parts; i = taken++) {
        work(i);
        if (++done == parts) done.notify_all();
      }
    }
  };
  if (parts == 0) return;
  const auto all = std::make_shared<common>(work, parts);
  const auto helpers = std::min(parts, std::max<std::size_t>(threads_.size(), 1)) - 1; // with the caller as
                                                                                       // many as the pool has
                                                                                       // threads
  for (std::size_t i = 0; i < helpers; ++i) submit(std::make_shared<strand>(), {0, [all] { all->help(); }});
  all->help();
  for (auto done = all->done.load(); done < parts; done = all->done.load()) all->done.wait(done);
}

void compute_pool::state::schedule(std::shared_ptr<strand> from, std::uint64_t priority) {
  {
    std::lock_guard guard(mutex);
    if (stopping) return;
    ready.push({priority, order++, std::move(from)});
  }
  wake.notify_one();
}

void compute_pool::state::run() {
  if (prepare) prepare();
  for (;;) {
    std::shared_ptr<strand> from;
    {
      std::unique_lock lock(mutex);
      wake.wait(lock, [this] { return stopping || !ready.empty(); });
      if (stopping) return;
      from = ready.top().from;
      ready.pop();
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
