#include "actors/optimizer/core.hpp"

#include "tests/actors/support.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <iterator>

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr owner_id e0{0, 0, 0}, e1{0, 1, 0}, dense{0, owner_id::dense_part, 0};

/// Two experts on nodes 1 and 2, two replicas, three lanes, 10 training rows in batches of 6, 4 updates.
optimizer_settings settings() {
  optimizer_settings s;
  s.term = term;
  s.config.model.experts = 2;
  s.config.schedule.batch_size = 6;
  s.config.schedule.num_microbatches = 4;
  s.config.schedule.lanes = 3;
  s.config.schedule.max_steps = 4;
  s.config.schedule.evaluate_at_end = false;
  s.config.optimizer.learning_rate = 0.5;
  s.replicas = 2;
  s.train_rows = 10;
  s.test_rows = 5;
  s.resend_after = 2;
  return s;
}

const placement_change placed{term, 1, {1, 2}, {1, 2}};

/// Everybody reports that `step` is done.
outbox finish(optimizer_core& core, std::uint64_t step) {
  outbox out;
  for (replica_id r : {0, 1}) core.receive(replica_report{term, step, r, {}, {}, {}, 0}, out);
  for (auto owner : {e0, dense, e1}) core.receive(applied{term, step, {owner}}, out);
  return out;
}

} // namespace

TEST_CASE("two plans are issued when the placement is known, the first to everybody", "[unit]") {
  optimizer_core core(settings());
  const auto out = give(core, placed);
  for (auto to : {dense_address(0), router_address(0), router_address(1)}) {
    const auto plans = sent_to<plan>(out, to);
    REQUIRE(plans.size() == 2);
    CHECK((plans[0].step == 0 && plans[1].step == 1));
  }
  for (auto to : {host_address(1), host_address(2)}) {
    const auto plans = sent_to<plan>(out, to);
    REQUIRE(plans.size() == 1); // the second comes with a bundle
    CHECK(plans[0].step == 0);
  }
  const auto p = sent_to<plan>(out, router_address(0)).front();
  CHECK((p.rows == 6 && p.learning_rate == 0.5 && p.placement == std::vector<node_id>{1, 2}));
  const std::vector<microbatch_plan> expected{{0, 0, 2}, {0, 0, 2}, {1, 0, 1}, {2, 1, 1}};
  CHECK(p.microbatches == expected); // lanes are whole: replica 0 has two of the three
  CHECK(sent_to<plan>(out, router_address(0)).back().rows == 4); // the ragged end of the epoch
}

TEST_CASE("a node without experts gets every plan from the optimizer", "[unit]") {
  optimizer_core core(settings());
  const auto out = give(core, placement_change{term, 1, {1, 1}, {1, 2}});
  CHECK(sent_to<plan>(out, host_address(1)).size() == 1);
  CHECK(sent_to<plan>(out, host_address(2)).size() == 2);
}

TEST_CASE("a plan says that it is the last of its kind in a row", "[unit]") {
  for (const bool evaluate : {false, true}) {
    auto s = settings(); // 4 updates, then perhaps an evaluation in one batch of 5 rows
    s.config.schedule.evaluate_at_end = evaluate;
    optimizer_core core(s);
    auto out = give(core, placed);
    for (std::uint64_t step = 0; step < 4; ++step)
      std::ranges::move(finish(core, step).messages, std::back_inserter(out.messages));
    std::vector<bool> last;
    for (auto& p : sent_to<plan>(out, dense_address(0))) last.push_back(p.last);
    CHECK(
      last
      == (evaluate ? std::vector{false, false, false, true, true} : std::vector{false, false, false, true}));
  }
}

TEST_CASE("a plan is issued when every owner and replica has done the step two before", "[unit]") {
  optimizer_core core(settings());
  give(core, placed);
  outbox out;
  for (auto owner : {e0, e1, dense}) core.receive(applied{term, 0, {owner}}, out);
  core.receive(replica_report{term, 0, 0, {}, {}, {}, 0}, out);
  core.receive(replica_report{term, 0, 0, {}, {}, {}, 0}, out); // a repeat is no second replica
  core.receive(replica_report{old_term, 0, 1, {}, {}, {}, 0}, out);
  CHECK(out.empty());
  core.receive(replica_report{term, 0, 1, {}, {}, {}, 0}, out);
  CHECK(sent_to<plan>(out, dense_address(0)).at(0).step == 2);
  CHECK(core.take_summaries().size() == 1);
}

TEST_CASE("steps end in order, whatever the order of acknowledgements, and the run with them", "[unit]") {
  optimizer_core core(settings());
  give(core, placed);
  CHECK(finish(core, 1).messages.size() == 0);
  const auto out = finish(core, 0);
  const auto summaries = core.take_summaries();
  REQUIRE(summaries.size() == 2);
  CHECK((summaries[0].permission.step == 0 && summaries[1].permission.step == 1));
  CHECK(sent_to<plan>(out, dense_address(0)).size() == 2);
  finish(core, 2);
  CHECK_FALSE(core.finished());
  finish(core, 3);
  CHECK(core.finished());
  CHECK(core.next_step() == 4);
}

TEST_CASE("the clip scale is that of the global norm, summed in the order of owners", "[unit]") {
  auto s = settings();
  s.config.optimizer.clip_norm = 2;
  const double a = 0.1, b = 0.2, c = 1e16; // (a + b) + c, in owner order, is not c + (b + a)
  std::vector<double> scales;
  for (int order : {0, 1}) {
    optimizer_core core(s);
    give(core, placed);
    outbox out;
    const norm_report first{term, 0, {{e0, a}}}, second{term, 0, {{e1, b}}}, third{term, 0, {{dense, c}}};
    if (order == 0) {
      core.receive(first, out);
      core.receive(second, out);
      core.receive(third, out);
    } else {
      core.receive(third, out);
      core.receive(second, out);
      CHECK(out.empty());
      core.receive(first, out);
    }
    const auto commits = sent_to<commit>(out, host_address(2));
    REQUIRE(commits.size() == 1);
    CHECK(sent_to<commit>(out, dense_address(0)).size() == 1);
    CHECK(sent_to<commit>(out, router_address(0)).empty());
    scales.push_back(commits[0].scale);
  }
  CHECK(scales[0] == std::min(1.0, 2 / (std::sqrt(a + b + c) + 1e-6)));
  CHECK(scales[0] == scales[1]);
}

TEST_CASE("a small gradient is not scaled up", "[unit]") {
  auto s = settings();
  s.config.optimizer.clip_norm = 2;
  optimizer_core core(s);
  give(core, placed);
  const auto out = give(core, norm_report{term, 0, {{e0, 1}, {e1, 1}, {dense, 1}}});
  CHECK(sent_to<commit>(out, host_address(1)).at(0).scale == 1);
}

TEST_CASE("plans and commits are sent again while acknowledgements are missing", "[unit]") {
  auto s = settings();
  s.config.optimizer.clip_norm = 2;
  optimizer_core core(s);
  give(core, placed);
  give(core, norm_report{term, 0, {{e0, 1}, {e1, 1}, {dense, 1}}});
  outbox out;
  core.tick(out);
  CHECK(out.empty());
  core.tick(out);
  CHECK(sent_to<plan>(out, host_address(1)).size() == 2);
  CHECK(sent_to<commit>(out, host_address(1)).size() == 1); // only step 0 has one
}

TEST_CASE("a new placement enters with the next plan and is settled when a step under it has ended",
          "[unit]") {
  optimizer_core core(settings());
  give(core, placed);
  CHECK(sent<placement_settled>(finish(core, 0)).size() == 1); // the first placement; plan 2 is issued under
                                                               // it
  CHECK(give(core, placement_change{old_term, 2, {3, 3}, {3}}).empty());
  give(core, placement_change{term, 2, {1, 3}, {1, 2, 3}});
  give(core, placement_change{term, 1, {1, 1}, {1}}); // late
  const auto out = finish(core, 1);
  CHECK(sent<placement_settled>(out).empty());
  const auto p = sent_to<plan>(out, host_address(3));
  REQUIRE(p.size() == 1);
  CHECK((p[0].step == 3 && p[0].placement == std::vector<node_id>{1, 3} && p[0].placement_version == 2));
  CHECK(sent_to<plan>(out, host_address(2)).size() == 1); // the one that leaves has to see it too
  finish(core, 2);
  const auto settled = sent<placement_settled>(finish(core, 3));
  REQUIRE(settled.size() == 1);
  CHECK(settled[0].version == 2);
}
