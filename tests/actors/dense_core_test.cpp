#include "actors/owner/dense_core.hpp"

#include "tests/actors/support.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace troupe;
using namespace troupe::test;
using namespace troupe::simulation;

namespace {

constexpr owner_id dense_id{0, owner_id::dense_part, 0};

struct fixture {
  fixture() : module(42, dense_id), core(settings(), module, 2) {
    // nop
  }

  static owner_settings settings() {
    owner_settings s;
    s.term = term;
    s.owner = dense_id;
    s.reports_to = optimizer_address();
    return s;
  }

  ledger_dense module;
  dense_core core;
};

dense_gradient lane(std::uint64_t step, std::uint32_t number, word value, term_id t = term) {
  return {t, step, 0, number, pair_of(value)};
}

plan two_lanes(std::uint64_t step) {
  return make_plan(step, {0, 0, 1}, {1});
}

word after_one_step() {
  return updated(initial_state(42, dense_id), append(10, 20), {0.5, 1, 0});
}

} // namespace

TEST_CASE("the cost of the dense part's job counts its lanes and its update", "[unit]") {
  fixture f;
  give(f.core, two_lanes(0));
  give(f.core, lane(0, 1, 20));
  const auto jobs = give(f.core, lane(0, 0, 10)).jobs;
  REQUIRE(jobs.size() == 1);
  CHECK(jobs[0].flops == 2 * (2 * 20 + 20 + 100)); // two numbers: two lanes read, one folded, one update
}

TEST_CASE("the dense part publishes its parameters to every router, with the plan and after each step",
          "[unit]") {
  fixture f;
  const auto first = give(f.core, two_lanes(0));
  for (replica_id r : {0, 1}) {
    const auto got = sent_to<dense_parameters>(first, router_address(r));
    REQUIRE(got.size() == 1);
    CHECK((got[0].version == 0 && word_of(got[0].value) == initial_state(42, dense_id)));
  }
  give_and_run(f.core, lane(0, 1, 20));
  const auto out = give_and_run(f.core, lane(0, 0, 10));
  CHECK(f.core.version() == 1);
  CHECK(f.module.state() == after_one_step()); // lanes left to right, not by arrival
  CHECK(sent_to<applied>(out, optimizer_address()).size() == 1);
  const auto got = sent_to<dense_parameters>(out, router_address(1));
  REQUIRE(got.size() == 1);
  CHECK((got[0].version == 1 && word_of(got[0].value) == after_one_step()));
}

TEST_CASE("a lane counts once, an old term not at all, an early one when its plan is there", "[unit]") {
  fixture f;
  give(f.core, lane(0, 0, 10));
  give(f.core, lane(0, 0, 10));
  CHECK(f.core.waiting() == 1);
  give(f.core, lane(0, 1, 5, old_term));
  give(f.core, two_lanes(0));
  give_and_run(f.core, lane(0, 0, 11));
  CHECK(f.core.version() == 0);
  give_and_run(f.core, lane(0, 7, 11)); // the plan has two
  give_and_run(f.core, lane(0, 1, 20));
  CHECK(f.module.state() == after_one_step());
}

TEST_CASE("a late gradient, or a repeated plan, is answered with the parameters", "[unit]") {
  fixture f;
  give(f.core, two_lanes(0));
  CHECK(sent<dense_parameters>(give(f.core, two_lanes(0))).size() == 2);
  give_and_run(f.core, lane(0, 0, 10));
  give_and_run(f.core, lane(0, 1, 20));
  const auto out = give_and_run(f.core, lane(0, 1, 20));
  CHECK(sent<dense_parameters>(out).size() == 2);
  CHECK(f.module.state() == after_one_step());
  const auto again = give(f.core, two_lanes(0));
  CHECK((sent<applied>(again).size() == 1 && sent<dense_parameters>(again).size() == 2));
}

TEST_CASE("an evaluation moves the dense part's version and nothing else", "[unit]") {
  fixture f;
  auto p = two_lanes(0);
  p.kind = step_kind::evaluate;
  give(f.core, p);
  give_and_run(f.core, dense_gradient{term, 0, 0, 0, {}});
  const auto out = give_and_run(f.core, dense_gradient{term, 0, 0, 1, {}});
  CHECK((f.core.version() == 1 && f.module.state() == initial_state(42, dense_id)));
  CHECK(sent<dense_parameters>(out).size() == 2);
}

TEST_CASE("the dense part refuses a plan without microbatches", "[unit]") {
  fixture f;
  const auto out = give(f.core, make_plan(0, {}, {1}));
  const auto lines = sent_to<refusal>(out, coordinator_address());
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].reason == "[plan 0] microbatches: got 0, limit at least 1");
  CHECK(sent<dense_parameters>(give(f.core, two_lanes(0))).size() == 2);
}
