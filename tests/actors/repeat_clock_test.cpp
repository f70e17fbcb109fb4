#include "actors/repeat_clock.hpp"

#include <catch2/catch_test_macros.hpp>

#include <vector>

using namespace troupe;

TEST_CASE("pauses between repeats double up to a limit", "[unit]") {
  repeat_clock clock(100, 2);
  std::vector<tick_count> at;
  for (tick_count now = 100; now < 300; ++now)
    if (clock.due(now)) at.push_back(now);
  CHECK(at == std::vector<tick_count>{102, 106, 114, 130, 162, 194, 226, 258, 290}); // 2, 4, 8, 16, 32, 32,
                                                                                     // ...
}
