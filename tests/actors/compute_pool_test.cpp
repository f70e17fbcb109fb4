#include "actors/shell/compute_pool.hpp"

#include <catch2/catch_test_macros.hpp>

#include <future>
#include <memory>
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
