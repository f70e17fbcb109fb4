#include "actors/repeat_clock.hpp"

#include <catch2/catch_test_macros.hpp>

#include <vector>

using namespace troupe;

TEST_CASE("large states get more ticks before they are sent again", "[unit]") {
  CHECK(ticks_for(100'000) == 0);
  CHECK(ticks_for(std::uint64_t{800} << 20) == 100);
}

TEST_CASE("pauses between repeats double up to a limit", "[unit]") {
  repeat_clock clock(100, 2);
  std::vector<tick_count> at;
  for (tick_count now = 100; now < 300; ++now)
    if (clock.due(now)) at.push_back(now);
  CHECK(at == std::vector<tick_count>{102, 106, 114, 130, 162, 194, 226, 258, 290}); // 2, 4, 8, 16, 32, 32,
                                                                                     // ...
}
