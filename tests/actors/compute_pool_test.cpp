#include "actors/shell/compute_pool.hpp"

#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

using namespace troupe;

TEST_CASE("jobs of one strand run one at a time in their order, on any number of threads", "[unit]") {
  for (const std::size_t threads : {1, 3}) {
    compute_pool pool(threads, {});
    const auto strand = std::make_shared<compute_pool::strand>();
    std::vector<int> seen;
    std::promise<void> all;
    for (int i = 0; i < 100; ++i)
      pool.submit(strand, {static_cast<std::uint64_t>(100 - i), [&, i] {
                             seen.push_back(i);
                             if (i == 99) all.set_value();
                           }});
    all.get_future().wait();
    REQUIRE(seen.size() == 100);
    for (int i = 0; i < 100; ++i) CHECK(seen[static_cast<std::size_t>(i)] == i);
  }
}

TEST_CASE("a pool may end in one of its own jobs, which held it for the last time", "[unit]") {
  for (int round = 0; round < 20; ++round) {
    auto pool = std::make_shared<compute_pool>(2, std::function<void()>{});
    const std::weak_ptr<compute_pool> watched = pool;
    const auto strand = std::make_shared<compute_pool::strand>();
    std::promise<void> let_go;
    pool->submit(strand, {0, [mine = pool, go = let_go.get_future().share()] { go.wait(); }});
    pool.reset();
    let_go.set_value(); // the job ends, and drops what it holds on the pool's own thread
    while (!watched.expired()) std::this_thread::yield();
  }
}

TEST_CASE("shared work is done once, part by part, also where every thread of the pool is busy", "[unit]") {
  for (const std::size_t threads : {1, 3})
    for (const std::size_t parts : {0, 1, 2, 50}) {
      compute_pool pool(threads, {});
      std::vector<std::promise<void>> doors(threads);
      for (auto& door : doors) // one job on each thread: there is nobody to help
        pool.submit(std::make_shared<compute_pool::strand>(),
                    {0, [go = door.get_future().share()] { go.wait(); }});
      for (const bool busy : {true, false}) {
        std::vector<std::atomic<int>> calls(parts);
        pool.share(parts, [&](std::size_t i) { ++calls[i]; });
        for (auto& n : calls) CHECK(n == 1);
        if (busy)
          for (auto& door : doors) door.set_value();
      }
    }
}

TEST_CASE("a job may share its work with the threads beside it", "[unit]") {
  compute_pool pool(2, {});
  std::promise<std::set<std::thread::id>> result;
  pool.submit(std::make_shared<compute_pool::strand>(), {0, [&] {
                                                           std::mutex mutex;
                                                           std::set<std::thread::id> seen;
                                                           std::promise<void> second;
                                                           auto met = second.get_future().share();
                                                           pool.share(2, [&](std::size_t i) { // each part
                                                                                              // waits for the
                                                                                              // other: two
                                                                                              // threads or
                                                                                              // never
                                                             {
                                                               std::lock_guard guard(mutex);
                                                               seen.insert(std::this_thread::get_id());
                                                               if (seen.size() == 2) second.set_value();
                                                             }
                                                             met.wait();
                                                             (void)i;
                                                           });
                                                           result.set_value(seen);
                                                         }});
  CHECK(result.get_future().get().size() == 2);
}
