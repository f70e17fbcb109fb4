#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <queue>
#include <thread>
#include <vector>

namespace troupe {

/// A fixed number of threads that compute. Work comes in strands: jobs of one strand run one at a time, in
/// the order in which they were submitted; among strands, smaller priorities go first.
///
/// Threading: all members may be called from any thread. Threads block when there is nothing to do, they
/// never spin.
class compute_pool {
public:
  struct item {
    std::uint64_t priority = 0;
    std::function<void()> work;
  };

  /// The queue of one owner.
  class strand {
  public:
    /// True if nothing is queued or running: the caller may compute in place.
    bool idle() const;

  private:
    friend class compute_pool;
    mutable std::mutex mutex_;
    std::deque<item> waiting_;
    bool scheduled_ = false;
  };

  /// `prepare` runs once on each thread before its first job.
  compute_pool(std::size_t threads, std::function<void()> prepare);

  /// Finishes the jobs that run; queued ones are dropped. May be called by one of its own jobs, which may
  /// hold the last reference to the pool: that thread goes on by itself and ends after its job.
  ~compute_pool();

  compute_pool(const compute_pool&) = delete;
  compute_pool& operator=(const compute_pool&) = delete;

  void submit(const std::shared_ptr<strand>& where, item work);

  /// Calls work(0) … work(parts − 1), each once, and returns when all are done: on the calling thread, which
  /// waits for nobody that has not begun, and on those of the pool that have nothing to do. It must not
  /// throw. May be called by a job.
  void share(std::size_t parts, const std::function<void(std::size_t)>& work);

private:
  struct entry {
    std::uint64_t priority = 0;
    std::uint64_t order = 0;
    std::shared_ptr<strand> from;

    bool operator<(const entry& other) const {
      return std::pair(priority, order) > std::pair(other.priority, other.order);
    }
  };

  /// What the threads share. It outlives the pool where the pool ends on one of its threads.
  struct state {
    std::function<void()> prepare;
    std::mutex mutex;
    std::condition_variable wake;
    std::priority_queue<entry> ready;
    std::uint64_t order = 0;
    bool stopping = false;

    void run();
    void schedule(std::shared_ptr<strand> from, std::uint64_t priority);
  };

  std::shared_ptr<state> state_;
  std::vector<std::thread> threads_;
};

} // namespace troupe
