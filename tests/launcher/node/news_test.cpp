#include "launcher/node/news.hpp"

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <future>
#include <vector>

using namespace troupe;
using namespace troupe::node;

namespace {

step_news step(step_kind kind, std::uint64_t ordinal) {
  step_news result;
  result.summary.permission.kind = kind;
  result.summary.permission.ordinal = ordinal;
  return result;
}

} // namespace

TEST_CASE("news that nobody takes are bounded: the oldest training steps give way, and nothing else",
          "[unit]") {
  constexpr auto max = news_queue::steps_waiting_max;
  news_queue queue;
  queue.push(warning_news{"first"});
  for (std::uint64_t i = 0; i < 3 * max; ++i) {
    queue.push(step(step_kind::train, i));
    if (i % max == 0) queue.push(step(step_kind::evaluate, i));
  }
  queue.push(exhausted_news{7});
  CHECK(queue.left_out() == 2 * max);
  std::vector<std::uint64_t> trained;
  std::vector<std::uint64_t> evaluated;
  bool warned = false;
  bool exhausted = false;
  while (const auto next = queue.pop(std::chrono::milliseconds(0))) {
    if (const auto* taken = std::get_if<step_news>(&*next)) {
      const auto& permission = taken->summary.permission;
      (permission.kind == step_kind::train ? trained : evaluated).push_back(permission.ordinal);
    }
    warned = warned || std::holds_alternative<warning_news>(*next);
    exhausted = std::holds_alternative<exhausted_news>(*next);
  }
  CHECK(warned);
  CHECK(exhausted); // and the last
  CHECK(evaluated == std::vector<std::uint64_t>{0, max, 2 * max});
  REQUIRE(trained.size() == max);
  CHECK(trained.front() == 2 * max);
  CHECK(trained.back() == 3 * max - 1);
  queue.push(step(step_kind::train, 1)); // room again
  CHECK(queue.left_out() == 2 * max);
}

TEST_CASE("training steps wake who waits for news only when many have come, other news at once", "[unit]") {
  news_queue queue;
  const auto waiting = [&] {
    return std::async(std::launch::async, [&] { return queue.pop(std::chrono::minutes(1)).has_value(); });
  };
  auto reader = waiting();
  for (std::size_t i = 0; i < news_queue::steps_waking; ++i) queue.push(step(step_kind::train, i));
  REQUIRE(reader.wait_for(std::chrono::seconds(20)) == std::future_status::ready);
  CHECK(reader.get());
  while (queue.pop(std::chrono::milliseconds(0))) continue;
  reader = waiting();
  queue.push(step(step_kind::evaluate, 0));
  REQUIRE(reader.wait_for(std::chrono::seconds(20)) == std::future_status::ready);
  CHECK(reader.get());
}
