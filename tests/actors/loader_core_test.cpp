#include "actors/loader/core.hpp"

#include "simulation/ledger_trunk.hpp"
#include "tests/actors/support.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

using namespace troupe;
using namespace troupe::test;

namespace {

/// 10 rows in batches of 6: 6 and 4 rows in microbatches of 2.
struct fixture {
  fixture() : data(42, 10, 4), core({term, options()}, data) {
    // nop
  }

  static schedule_options options() {
    schedule_options s;
    s.batch_size = 6;
    s.num_microbatches = 3;
    return s;
  }

  simulation::ledger_data data;
  loader_core core;
};

fetch asked(std::uint64_t step, std::uint64_t ordinal, std::uint32_t microbatch) {
  return {term, step, step_kind::train, ordinal, microbatch, 1};
}

} // namespace

TEST_CASE("a loader answers with the rows that the cut gives the microbatch", "[unit]") {
  fixture f;
  const auto out = give_and_run(f.core, asked(5, 3, 1)); // update 3: second half of epoch 1, rows 6..9 as 2 +
                                                         // 1 + 1
  const auto batches = sent_to<batch>(out, router_address(1));
  REQUIRE(batches.size() == 1);
  CHECK((batches[0].step == 5 && batches[0].microbatch == 1));
  CHECK(std::ranges::equal(batches[0].ids.as<std::int64_t>(), std::vector<std::int64_t>{8}));
  CHECK(simulation::value_at(batches[0].inputs, 0) == simulation::input_value(42, step_kind::train, 1, 8));
}

TEST_CASE("a loader reads ahead, answers repeats from memory, and waits for one reading only", "[unit]") {
  fixture f;
  auto first = give(f.core, asked(0, 0, 0));
  CHECK((first.jobs.size() == 1 && first.messages.empty()));
  auto ahead = asked(0, 1, 0);
  ahead.replica = fetch::nobody;
  const auto next = give(f.core, ahead);
  REQUIRE(next.jobs.size() == 1);
  first.jobs.push_back(next.jobs[0]);
  CHECK(give(f.core, asked(0, 0, 0)).empty()); // on its way
  outbox out;
  for (auto& job : first.jobs) {
    job.work();
    f.core.finished(job.id, out);
  }
  CHECK(sent<batch>(out).size() == 2); // for the two that asked; nobody asked for the next step's
  const auto again = give(f.core, asked(0, 0, 0));
  CHECK((again.jobs.empty() && sent<batch>(again).size() == 1));
  const auto later = give(f.core, asked(1, 1, 0));
  CHECK((later.jobs.empty() && sent_to<batch>(later, router_address(1)).size() == 1));
  ahead.ordinal = 2;
  ahead.microbatch = 3; // no step has so many
  CHECK(give(f.core, ahead).empty());
}

TEST_CASE("a loader ignores an old term", "[unit]") {
  fixture f;
  auto m = asked(0, 0, 0);
  m.term = old_term;
  CHECK(give(f.core, m).empty());
}

TEST_CASE("what a job still writes to is not forgotten", "[unit]") {
  fixture f;
  auto late = give(f.core, asked(0, 0, 0)); // a repeat that lingered
  give_and_run(f.core, asked(9, 9, 0));     // would clear it away
  outbox out;
  for (auto& job : late.jobs) { // an address sanitizer would see this write
    job.work();
    f.core.finished(job.id, out);
  }
  CHECK(sent<batch>(out).size() == 1);
}
