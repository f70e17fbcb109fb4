#include "simulation/ledger.hpp"
#include "simulation/reference.hpp"

#include <catch2/catch_test_macros.hpp>

#include <set>

using namespace troupe;
using namespace troupe::simulation;

TEST_CASE("a ledger sees order, loss and repetition", "[unit]") {
  const word a = 3, b = 5, c = 9;
  const auto folded = append(append(append(0, a), b), c);
  CHECK(folded != append(append(append(0, b), a), c));
  CHECK(folded != append(append(0, a), c));
  CHECK(folded != append(append(append(append(0, a), b), b), c));
}

TEST_CASE("what travels as a number fits into one exactly", "[unit]") {
  for (word x : {word{0}, word{1}, ~word{0}}) {
    const auto s = small(mix(x));
    CHECK(static_cast<word>(static_cast<double>(s)) == s);
  }
}

TEST_CASE("a token's experts are distinct, alive, and a function of its row", "[unit]") {
  const routing_rule rule{16, 3, 0xf0f0, 0.5, 0.1};
  for (word row = 0; row < 500; ++row) {
    const auto where = chosen(rule, row, 1);
    CHECK(where == chosen(rule, row, 1));
    REQUIRE(where.size() == 3);
    std::set<std::int32_t> used;
    for (auto e : where) {
      if (e < 0) continue;
      CHECK(used.insert(e).second);
      CHECK((0xf0f0 >> e & 1) == 0);
    }
  }
}

TEST_CASE("the reference notices every change of a scenario that training sees, and no other", "[unit]") {
  const auto base = draw_scenario(3);
  const auto end = [](const scenario& s) { return expected_of(s).states.back(); };
  auto s = base;
  s.nodes = 9;
  s.in_flight = 3;
  s.replicas = 1;
  s.network.lose = 0.5;
  CHECK(end(s) == end(base));
  s.config.schedule.lanes = 1;
  CHECK(end(s) != end(base));
  s = base;
  s.config.optimizer.learning_rate *= 2;
  CHECK(end(s) != end(base));
  s = base;
  s.config.schedule.max_steps += 1;
  CHECK(end(s) != end(base));
}
