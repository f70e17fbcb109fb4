#include "simulation/run.hpp"

#include <catch2/catch_test_macros.hpp>

#include <sstream>

using namespace troupe;
using namespace troupe::simulation;

namespace {

constexpr word seeds = 500;
constexpr word mutant_seeds = 40; ///< a deliberate defect must show within so many

std::string replay(word seed, const std::string& more = "") {
  return "replay: troupe-sim --seeds 1 --first-seed " + std::to_string(seed) + " --trace" + more;
}

void check_passes(word first, word count, const scenario_wishes& wishes, const std::string& flags = "") {
  for (word seed = first; seed < first + count; ++seed) {
    const auto s = draw_scenario(seed, wishes);
    const auto result = simulate(s);
    INFO(to_string(s) << '\n' << replay(seed, flags));
    INFO(result.violation.value_or(""));
    REQUIRE_FALSE(result.violation);
  }
}

/// The cores with one defect: some seed fails, and by a violated expectation, not by a crash.
void check_caught(const std::string& name) {
  scenario_wishes wishes;
  wishes.defects = mutation_named(name).value();
  for (word seed = 1; seed <= mutant_seeds; ++seed)
    if (simulate(draw_scenario(seed, wishes)).violation) return;
  FAIL("no seed of " << mutant_seeds << " noticed " << name);
}

} // namespace

TEST_CASE("a cluster with faults and changing members ends every run as the sequential reference does",
          "[sim]") {
  check_passes(1, seeds, {});
}

TEST_CASE("where nothing gets lost nothing has to be sent twice", "[sim]") {
  scenario_wishes wishes;
  wishes.quiet_network = true;
  wishes.fixed_members = true;
  for (word seed = 1; seed <= 100; ++seed) {
    auto s = draw_scenario(seed, wishes);
    s.resend_after = 1'000'000; // never within a run
    const auto result = simulate(s);
    INFO(to_string(s) << '\n' << result.violation.value_or(""));
    REQUIRE_FALSE(result.violation);
  }
}

TEST_CASE("the parameters do not depend on nodes, replicas, microbatches in flight or encoding", "[sim]") {
  for (std::uint32_t nodes : {0u, 1u, 3u, 7u})
    for (std::uint32_t replicas : {1u, 2u, 3u}) {
      scenario_wishes wishes;
      wishes.nodes = nodes;
      wishes.replicas = replicas;
      wishes.in_flight = 1 + 3 * (nodes % 2);
      wishes.wire = replicas == 2;
      wishes.updates = 10;
      check_passes(1000, 2, wishes); // `simulate` compares with the reference, which knows none of these
    }
}

TEST_CASE("a run is decided by its seed, to the last message", "[sim]") {
  std::ostringstream first, second, other;
  const auto a = simulate(draw_scenario(7), &first);
  const auto b = simulate(draw_scenario(7), &second);
  simulate(draw_scenario(8), &other);
  CHECK(a.events == b.events);
  CHECK(first.str() == second.str());
  CHECK(first.str() != other.str());
  CHECK(first.str().find("dispatch 0/0/0") != std::string::npos); // name, step/microbatch/layer
}

TEST_CASE("the simulation notices an owner that applies a repeated gradient again", "[sim]") {
  check_caught("apply_duplicates");
}

TEST_CASE("the simulation notices members that take messages of an old term for current ones", "[sim]") {
  check_caught("accept_old_term");
}

TEST_CASE("the simulation notices an owner that forgets its replies when it has applied a step", "[sim]") {
  check_caught("forget_replies");
}

TEST_CASE("the simulation notices a router that sends no bundle where there are no rows", "[sim]") {
  check_caught("omit_empty_bundles");
}

TEST_CASE("the simulation notices gradients folded in the order of their arrival", "[sim]") {
  check_caught("fold_by_arrival");
}

TEST_CASE("the seeds that catch the defects pass without them", "[sim]") {
  check_passes(1, mutant_seeds, {});
}
