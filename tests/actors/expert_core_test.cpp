#include "actors/owner/expert_core.hpp"

#include "tests/actors/support.hpp"

#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <utility>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using namespace troupe::simulation;

namespace {

constexpr owner_id me{0, 1, 0};

/// An expert on node 1 whose placement index is 1.
struct fixture {
  explicit fixture(bool fresh = true, mutations defects = {})
    : module(42, me), core(settings(fresh, defects), module) {
    // nop
  }

  static owner_settings settings(bool fresh, mutations defects) {
    owner_settings s;
    s.term = term;
    s.owner = me;
    s.index = 1;
    s.node = 1;
    s.reports_to = host_address(1);
    s.fresh = fresh;
    s.resend_after = 8;
    s.defects = defects;
    return s;
  }

  ledger_expert module;
  expert_core core;
};

/// One row per microbatch, 100 + its number.
expert_forward forward(std::uint64_t step, std::uint32_t microbatch, term_id t = term) {
  return {{t, step, microbatch, 0}, me, true, rows({100 + microbatch}), indices({0}), 0, 1};
}

expert_backward backward(std::uint64_t step, std::uint32_t microbatch, term_id t = term) {
  return {{t, step, microbatch, 0}, me, true, rows({200 + microbatch}), gates({7})};
}

/// What the microbatch above adds to a sum.
word folded(word sum, std::uint32_t microbatch) {
  return append(append(sum, expert_term(me, 100 + microbatch, 200 + microbatch, 7)), end_of_microbatch);
}

/// Parameters after one step with microbatches 0, 1 in lane 0 and 2 in lane 1.
word after_one_step(double scale = 1) {
  const auto gradient = append(folded(folded(0, 0), 1), folded(0, 2));
  return updated(initial_state(42, me), gradient, {0.5, scale, 0});
}

plan plan_of_three(std::uint64_t step, node_id where = 1) {
  return make_plan(step, {0, 0, 1}, {2, where});
}

expert_plan shared(plan p) {
  return {std::make_shared<const plan>(std::move(p))};
}

expert_plan three(std::uint64_t step = 0, node_id where = 1) {
  return shared(plan_of_three(step, where));
}

/// Runs the jobs of an outbox.
void finish(expert_core& core, const outbox& posted) {
  outbox rest;
  for (auto& job : posted.jobs) {
    job.work();
    core.finished(job.id, rest);
  }
}

} // namespace

TEST_CASE("an expert folds in the order of the plan, whatever the order of arrival", "[unit]") {
  for (const auto& order : {std::vector{0u, 1u, 2u}, std::vector{2u, 1u, 0u}, std::vector{1u, 2u, 0u}}) {
    fixture f;
    give(f.core, three());
    for (auto m : order) {
      const auto outputs = sent<expert_output>(give_and_run(f.core, forward(0, m)));
      REQUIRE(outputs.size() == 1);
      CHECK(value_at(outputs[0].value, 0) == expert_answer(me, initial_state(42, me), 100 + m));
    }
    outbox last;
    for (auto m : order) last = give_and_run(f.core, backward(0, m));
    CHECK(f.core.version() == 1);
    CHECK(f.module.state() == after_one_step());
    REQUIRE(sent_to<applied>(last, host_address(1)).size() == 1);
  }
}

TEST_CASE("repeats are answered from memory and change nothing", "[unit]") {
  fixture f;
  give(f.core, three());
  for (auto m : {0u, 1u, 2u}) {
    give_and_run(f.core, forward(0, m));
    const auto again = give(f.core, forward(0, m));
    CHECK((again.jobs.empty() && sent<expert_output>(again).size() == 1));
  }
  for (auto m : {0u, 1u, 2u, 0u, 1u, 2u}) {
    const auto out = give_and_run(f.core, backward(0, m));
    CHECK(sent<expert_input_gradient>(out).size() == 1); // also after the step was applied
  }
  CHECK(f.core.version() == 1);
  CHECK(f.module.state() == after_one_step());
  CHECK(sent<expert_output>(give(f.core, forward(0, 1))).size() == 1);
  CHECK(sent<applied>(give(f.core, three())).size() == 1); // the optimizer did not hear of it
}

TEST_CASE("replies are forgotten when the plan two steps on proves that nobody needs them", "[unit]") {
  fixture f;
  give(f.core, three(0));
  for (auto m : {0u, 1u, 2u}) give_and_run(f.core, forward(0, m));
  for (auto m : {0u, 1u, 2u}) give_and_run(f.core, backward(0, m));
  give(f.core, three(1));
  CHECK(sent<refusal>(give(f.core, forward(0, 0))).empty());
  give(f.core, three(2));
  CHECK(refuses(give(f.core, forward(0, 0)), true));
  CHECK(refuses(give(f.core, backward(0, 0)), true));
}

TEST_CASE("work of the next step is held until the version is there", "[unit]") {
  fixture f;
  CHECK(give(f.core, forward(1, 0)).empty()); // before any plan
  give(f.core, three(0));
  give(f.core, three(1));
  CHECK(give(f.core, forward(1, 0)).empty());
  CHECK(f.core.waiting() == 1);
  for (auto m : {0u, 1u, 2u}) give_and_run(f.core, forward(0, m));
  for (auto m : {0u, 1u}) give_and_run(f.core, backward(0, m));
  const auto out = give_and_run(f.core, backward(0, 2));
  CHECK(f.core.waiting() == 0);
  const auto outputs = sent<expert_output>(out);
  REQUIRE(outputs.size() == 1);
  CHECK(value_at(outputs[0].value, 0) == expert_answer(me, after_one_step(), 100)); // with the new parameters
}

TEST_CASE("with global clipping an expert reports its norm and waits for the commit", "[unit]") {
  fixture f;
  auto p = plan_of_three(0);
  p.clip_norm = 1;
  give(f.core, shared(p));
  for (auto m : {0u, 1u, 2u}) give_and_run(f.core, forward(0, m));
  for (auto m : {0u, 1u}) give_and_run(f.core, backward(0, m));
  const auto norms = sent<norm_report>(give_and_run(f.core, backward(0, 2)));
  REQUIRE(norms.size() == 1);
  const auto gradient = append(folded(folded(0, 0), 1), folded(0, 2));
  CHECK(norms[0].norms == std::vector<norm_report::entry>{{me, squared_norm_of(gradient)}});
  CHECK(f.core.version() == 0);
  CHECK(sent<norm_report>(give(f.core, shared(p))).size() == 1); // asked again
  CHECK(give(f.core, commit{old_term, 0, 0.1}).empty());
  give_and_run(f.core, commit{term, 0, 0.25});
  CHECK(f.core.version() == 1);
  CHECK(f.module.state() == after_one_step(0.25));
  CHECK(give(f.core, commit{term, 0, 0.25}).jobs.empty());
}

TEST_CASE("a job's cost counts its rows, its folds and its update", "[unit]") {
  struct large_expert : ledger_expert {
    using ledger_expert::ledger_expert;

    double flops_per_row() const override { return 2e6; } // a million parameters
  };
  for (const double clip_norm : {0.0, 1.0}) {
    CAPTURE(clip_norm);
    large_expert module(42, me);
    expert_core core(fixture::settings(true, {}), module);
    auto p = plan_of_three(0);
    p.clip_norm = clip_norm;
    give(core, shared(p));
    for (auto m : {0u, 1u, 2u}) {
      const auto out = give(core, forward(0, m));
      REQUIRE(out.jobs.size() == 1);
      CHECK(out.jobs[0].flops == 2e6);
      finish(core, out);
    }
    std::vector<double> costs;
    for (auto m : {1u, 0u, 2u}) { // 1 waits for 0 to be folded
      const auto out = give(core, backward(0, m));
      costs.push_back(out.jobs.at(0).flops);
      finish(core, out);
    }
    // The second lane is folded into the first one, and either normed or applied.
    CHECK(costs == std::vector<double>{2e6, 6e6, 4e6 + (clip_norm > 0 ? 20e6 + 20e6 : 20e6 + 100e6)});
    if (clip_norm > 0) CHECK(give(core, commit{term, 0, 0.25}).jobs.at(0).flops == 100e6);
  }
}

TEST_CASE("the time of an update is told, whether it comes with the last gradient or after a commit",
          "[unit]") {
  for (const double clip_norm : {0.0, 1.0}) {
    CAPTURE(clip_norm);
    auto settings = fixture::settings(true, {});
    settings.now_us = [clock = std::make_shared<double>(0)] { return *clock += 1; };
    ledger_expert module(42, me);
    expert_core core(settings, module);
    auto p = plan_of_three(0);
    p.clip_norm = clip_norm;
    give(core, shared(p));
    for (auto m : {0u, 1u, 2u}) give_and_run(core, forward(0, m));
    outbox last;
    for (auto m : {0u, 1u, 2u}) last = give_and_run(core, backward(0, m));
    if (clip_norm > 0) last = give_and_run(core, commit{term, 0, 0.25});
    const auto told = sent_to<applied>(last, host_address(1));
    REQUIRE(told.size() == 1);
    CHECK(told[0].apply_us == 1); // the clock moves by one whenever it is read
  }
}

TEST_CASE("an evaluation ends without an optimizer step and counts as a version", "[unit]") {
  fixture f;
  auto p = plan_of_three(0);
  p.kind = step_kind::evaluate;
  give(f.core, shared(p));
  for (auto m : {2u, 0u}) give_and_run(f.core, forward(0, m));
  CHECK(sent<applied>(give_and_run(f.core, forward(0, 1))).size() == 1);
  CHECK(f.core.version() == 1);
  CHECK(f.module.state() == initial_state(42, me));
  CHECK(sent<refusal>(give(f.core, backward(0, 0))).size() == 1);
}

TEST_CASE("an expert refuses an old term, a gradient without its forward pass and one of another shape",
          "[unit]") {
  fixture f;
  give(f.core, three());
  CHECK(refuses(give(f.core, forward(0, 0, old_term)), true));
  CHECK(refuses(give(f.core, backward(0, 0)), false));
  CHECK(refuses(give(f.core, forward(0, 3)), false)); // the plan has three microbatches
  give_and_run(f.core, forward(0, 0));
  CHECK(refuses(give(f.core, backward(0, 0, old_term)), true));
  auto wrong = backward(0, 0);
  wrong.gates = gates({});
  CHECK(refuses(give(f.core, wrong), false));
  wrong = backward(0, 0);
  wrong.rows = rows({1, 2});
  CHECK(refuses(give(f.core, wrong), false));
}

// -- moving -------------------------------------------------------------------

TEST_CASE("an expert sends its state to its successor until it has arrived", "[unit]") {
  fixture f;
  give(f.core, three(0));
  const auto out = give(f.core, three(1, 3)); // moves to node 3 after step 0
  CHECK(out.empty());
  for (auto m : {0u, 1u, 2u}) give_and_run(f.core, forward(0, m));
  for (auto m : {0u, 1u}) give_and_run(f.core, backward(0, m));
  const auto states = sent_to<owner_state>(give_and_run(f.core, backward(0, 2)), coordinator_address());
  REQUIRE(states.size() == 1);
  CHECK((states[0].to == 3 && states[0].from == 1 && states[0].version == 1));
  CHECK(word_in(states[0].state) == after_one_step());
  CHECK(refuses(give(f.core, forward(1, 0)), false));
  CHECK(sent<expert_input_gradient>(give(f.core, backward(0, 0))).size() == 1); // repeats of its last step
  outbox later;
  for (int i = 0; i < 8; ++i) f.core.tick(later);
  CHECK(sent<owner_state>(later).size() == 1);
  give(f.core, state_received{term, me, 1, 1});
  CHECK(give(f.core, state_received{term, me, 1, 1}).empty());
  outbox quiet;
  for (int i = 0; i < 100; ++i) f.core.tick(quiet);
  CHECK(quiet.empty());
}

TEST_CASE("the plan under which an expert leaves may come before the one it still does", "[unit]") {
  fixture f;
  give(f.core, three(1, 3));
  give(f.core, three(0));
  for (auto m : {0u, 1u, 2u}) give_and_run(f.core, forward(0, m));
  for (auto m : {0u, 1u}) give_and_run(f.core, backward(0, m));
  give(f.core, state_received{term, me, 0, 1}); // of an earlier stay: nothing has been sent yet
  CHECK(sent<owner_state>(give_and_run(f.core, backward(0, 2))).size() == 1);
  outbox later;
  for (int i = 0; i < 8; ++i) f.core.tick(later);
  CHECK(sent<owner_state>(later).size() == 1);
}

TEST_CASE("a moved expert goes on from the state it gets, once", "[unit]") {
  fixture f(false);
  give(f.core, three(6));
  CHECK(give(f.core, forward(6, 0)).empty());
  const owner_state state{term, me, 6, 1, 2, bytes_of(word{99})};
  CHECK(give(f.core, owner_state{old_term, me, 6, 1, 2, bytes_of(word{1})}).empty());
  const auto out = give_and_run(f.core, state);
  CHECK(sent_to<state_received>(out, coordinator_address()).size() == 1);
  CHECK(sent<expert_output>(out).size() == 1);
  CHECK(f.core.version() == 6);
  auto other = state;
  other.state = bytes_of(word{100});
  CHECK(sent<state_received>(give(f.core, other)).size() == 1); // acknowledged again, not taken again
  CHECK(f.module.state() == 99);
}

TEST_CASE("a state of an earlier stay on the node is not taken", "[unit]") {
  fixture f(false);
  give(f.core, three(20));
  CHECK(give(f.core, owner_state{term, me, 6, 1, 2, bytes_of(word{99})}).empty());
  CHECK(f.core.awaiting_state());
}

TEST_CASE("an expert that has left does not acknowledge a state that is for its successor here", "[unit]") {
  fixture f;
  give(f.core, three(0));
  give(f.core, three(1, 3)); // moves to node 3 after step 0
  for (auto m : {0u, 1u, 2u}) give_and_run(f.core, forward(0, m));
  for (auto m : {0u, 1u, 2u}) give_and_run(f.core, backward(0, m));
  give(f.core, state_received{term, me, 1, 1});
  // It is to come back with plan 5; the node has no other experts, so that it may have missed plans 2 to 4.
  const owner_state back{term, me, 5, 1, 3, bytes_of(word{99})};
  CHECK(give(f.core, back).empty());
  CHECK(f.module.state() == after_one_step());
  fixture successor(false);
  CHECK(give(successor.core, back).empty()); // early, comes again
  give(successor.core, three(5));
  CHECK(sent<state_received>(give(successor.core, back)).size() == 1);
  CHECK(successor.module.state() == 99);
}

TEST_CASE("an expert refuses a plan that does not say where it lives, or what there is to do", "[unit]") {
  fixture f;
  const auto refused = [&](const plan& p, const std::string& why) {
    const auto out = give(f.core, shared(p));
    REQUIRE(out.messages.size() == 1);
    const auto lines = sent_to<refusal>(out, coordinator_address());
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].reason == why);
  };
  refused(make_plan(0, {0, 0, 1}, {}), "[plan 0] placement: got 0 experts, limit at least 2");
  refused(make_plan(0, {0, 0, 1}, {1}), "[plan 0] placement: got 1 experts, limit at least 2");
  refused(make_plan(0, {}, {2, 1}), "[plan 0] microbatches: got 0, limit at least 1");
  give(f.core, three(0));
  CHECK(sent<expert_output>(give_and_run(f.core, forward(0, 0))).size() == 1);
}

TEST_CASE("a state of the wrong size is reported and not taken", "[unit]") {
  fixture f(false);
  give(f.core, three(6));
  const auto out = give(f.core, owner_state{term, me, 6, 1, 2, tensor::zeros(dtype::u8, {3})});
  CHECK(sent_to<refusal>(out, coordinator_address()).size() == 1);
  CHECK(f.core.awaiting_state());
}

TEST_CASE("a state is sent on request at its version, not while the parameters change", "[unit]") {
  fixture f;
  CHECK(sent<owner_state>(give(f.core, state_request{term, 0})).size() == 1);
  give(f.core, three(0));
  CHECK(sent<owner_state>(give(f.core, state_request{term, 0})).size() == 1);
  for (auto m : {0u, 1u, 2u}) give_and_run(f.core, forward(0, m));
  for (auto m : {0u, 1u}) give_and_run(f.core, backward(0, m));
  auto applying = give(f.core, backward(0, 2)); // its job also applies the step
  CHECK(give(f.core, state_request{term, 0}).empty());
  CHECK(give(f.core, state_request{term, 1}).empty());
  for (auto& job : applying.jobs) {
    job.work();
    outbox out;
    f.core.finished(job.id, out);
    const auto states = sent<owner_state>(out);
    REQUIRE(states.size() == 1); // the one asked for, at version 1
    CHECK((states[0].to == collected && word_in(states[0].state) == after_one_step()));
  }
}
