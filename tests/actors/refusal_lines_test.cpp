#include "actors/shell/refusal_lines.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace troupe;

TEST_CASE("the first refusals are shown as they come", "[unit]") {
  refusal_lines lines;
  for (int i = 0; i < 4; ++i) CHECK(lines.take("payloads: got 5000, limit 4096", 100.0));
  CHECK_FALSE(lines.take("payloads: got 5000, limit 4096", 100.0));
}

TEST_CASE("a flood of refusals becomes a line in ten seconds that counts the others", "[unit]") {
  refusal_lines lines;
  int shown = 0;
  for (int i = 0; i < 100'000; ++i) // for 100 s, a thousand in a second
    if (lines.take("bad", 1e-3 * i)) ++shown;
  CHECK(shown >= 12);
  CHECK(shown <= 14);
  refusal_lines others;
  for (int i = 0; i < 11; ++i) others.take("bad", 0);
  CHECK(others.take("worse", 10) == "refused a message: worse (and 7 others since the last such line)");
  CHECK(others.take("worst", 20) == "refused a message: worst");
}

TEST_CASE("what a stranger wrote cannot take hold of the terminal", "[unit]") {
  refusal_lines lines;
  CHECK(lines.take("a\x1b[2J\n\xff z", 0) == "refused a message: a?[2J?? z");
  CHECK(lines.take(std::string(5000, 'x'), 0)->size() < 500);
}
