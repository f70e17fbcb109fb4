#include "actors/router/core.hpp"

#include "model/run_failure.hpp"
#include "simulation/ledger_trunk.hpp"
#include "tests/actors/support.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

using namespace troupe;
using namespace troupe::test;
using namespace troupe::simulation;

namespace {

constexpr word dense_word = 77;

router_settings settings(std::uint32_t in_flight, mutations defects) {
  router_settings s;
  s.term = term;
  s.experts = 4;
  s.in_flight = in_flight;
  s.local = 99;
  s.resend_after = 2;
  s.defects = defects;
  return s;
}

/// Replica 0 of a run with 4 experts, 0 and 1 on node 1, 2 and 3 on node 2; experts 2 and 3 never get a row.
struct fixture {
  explicit fixture(std::uint32_t in_flight = 4, std::uint16_t layers = 1, mutations defects = {})
    : data(5, 100, 100), trunk(layers, {4, 2, 0b1100, 0, 0}, false),
      core(settings(in_flight, defects), trunk) {
    // nop
  }

  batch rows(std::uint64_t step, std::uint32_t microbatch) const {
    const auto s = data.read(step_kind::train, 0, step * 10 + microbatch * 2, 2);
    return {term, step, microbatch, s.inputs, s.labels, s.ids};
  }

  ledger_data data;
  ledger_trunk trunk;
  router_core core;
};

plan step(std::uint64_t number, std::initializer_list<std::uint32_t> lanes = {0, 0, 1}) {
  return make_plan(number, lanes, {1, 1, 2, 2, 1, 1, 2, 2});
}

dense_parameters parameters(std::uint64_t version) {
  return {term, version, 0, pair_of(dense_word)};
}

/// What the node of a bundle answers.
combine answer(const dispatch& d, node_id node) {
  combine c{d.id, node, {}, {}};
  for (auto& span : d.experts) {
    std::vector<word> values;
    for (auto i = span.begin; i < span.end; ++i)
      values.push_back(value_at(d.rows, static_cast<std::size_t>(d.indices.as<std::int32_t>()[i])));
    c.outputs.push_back({span.owner, rows_of(values)});
  }
  return c;
}

outbox answer_all(fixture& f, const outbox& asked) {
  outbox result;
  for (node_id node : {1, 2})
    for (auto& d : sent_to<dispatch>(asked, host_address(node))) {
      auto out = give_and_run(f.core, answer(d, node));
      std::ranges::move(out.messages, std::back_inserter(result.messages));
    }
  return result;
}

/// Bytes of tensors that went to a node and came from it, by the messages themselves.
node_traffic exchanged(const std::vector<outbox>& bundles, const outbox& rest, node_id node) {
  node_traffic sum{node, 0, 0};
  for (auto& out : bundles)
    for (auto& d : sent_to<dispatch>(out, host_address(node))) {
      sum.bytes_sent += d.rows.bytes() + d.indices.bytes();
      for (auto& part : answer(d, node).outputs) sum.bytes_received += part.value.bytes();
    }
  for (auto& g : sent_to<gradient>(rest, host_address(node)))
    sum.bytes_sent += g.rows.bytes() + g.gates.bytes();
  return sum;
}

} // namespace

TEST_CASE("a router fetches its microbatches with the plan and starts when parameters and rows are there",
          "[unit]") {
  fixture f;
  const auto fetches = sent_to<fetch>(give(f.core, step(0)), loader_address());
  REQUIRE(fetches.size() == 3);
  CHECK(give_and_run(f.core, f.rows(0, 0)).empty());
  const auto out = give_and_run(f.core, parameters(0));
  REQUIRE(sent<dispatch>(out).size() == 2);
  CHECK(sent<dispatch>(give_and_run(f.core, f.rows(0, 2))).empty()); // microbatches start in order
  CHECK(sent<dispatch>(give_and_run(f.core, f.rows(0, 1))).size() == 4);
}

TEST_CASE("a bundle names all experts of its node and is sent even if none of them has rows", "[unit]") {
  fixture f;
  give(f.core, step(0));
  give(f.core, parameters(0));
  const auto out = give_and_run(f.core, f.rows(0, 0));
  const auto empty = sent_to<dispatch>(out, host_address(2));
  REQUIRE(empty.size() == 1);
  CHECK(empty[0].indices.rows() == 0);
  const std::vector<expert_span> both{{{0, 2, 0}, 0, 0}, {{0, 3, 0}, 0, 0}};
  CHECK(empty[0].experts == both);
  const auto full = sent_to<dispatch>(out, host_address(1));
  REQUIRE(full.size() == 1);
  CHECK(full[0].indices.rows() == 4); // two tokens, two slots
}

TEST_CASE("when its bundles are out a router has the next step's rows read", "[unit]") {
  auto p = step(0);
  for (const bool last : {false, true}) {
    p.last = last;
    fixture f;
    give(f.core, p);
    give(f.core, parameters(0));
    const auto out = give_and_run(f.core, f.rows(0, 0));
    const auto ahead = sent_to<fetch>(out, loader_address());
    REQUIRE(ahead.size() == (last ? 0 : 1));
    if (!last) {
      CHECK((ahead[0].ordinal == p.ordinal + 1 && ahead[0].microbatch == 0));
      CHECK(ahead[0].replica == fetch::nobody);
      CHECK(std::holds_alternative<fetch>(out.messages.back().body)); // after the bundles
    }
  }
}

TEST_CASE("the first bundle of a step for a node brings the plan", "[unit]") {
  fixture f;
  give(f.core, step(0));
  give(f.core, parameters(0));
  const auto first = sent<dispatch>(give_and_run(f.core, f.rows(0, 0)));
  REQUIRE(first.size() == 2);
  for (auto& d : first) {
    REQUIRE(d.permission != nullptr);
    CHECK(*d.permission == step(0));
  }
  const auto second = sent<dispatch>(give_and_run(f.core, f.rows(0, 1)));
  REQUIRE(second.size() == 2);
  for (auto& d : second) CHECK(d.permission == nullptr);
  outbox out;
  for (int i = 0; i < 3; ++i) f.core.tick(out);
  const auto again = sent_to<dispatch>(out, host_address(1));
  REQUIRE(again.size() == 2);
  CHECK((again[0].permission != nullptr && again[1].permission == nullptr)); // the first may have been lost
}

TEST_CASE("a report that comes with an answer goes on to the optimizer, whatever the answer is worth",
          "[unit]") {
  fixture f;
  give(f.core, step(0));
  give(f.core, parameters(0));
  const auto asked = give_and_run(f.core, f.rows(0, 0));
  auto c = answer(sent_to<dispatch>(asked, host_address(1)).at(0), 1);
  c.done = applied{term, 7, {{0, 0, 0}, {0, 1, 0}}, 1, 2, 3};
  for (int repeat = 0; repeat < 2; ++repeat) {
    const auto told = sent_to<applied>(give_and_run(f.core, c), optimizer_address());
    REQUIRE(told.size() == 1);
    CHECK(told[0] == *c.done);
  }
  c.id.term = old_term;
  CHECK(give(f.core, c).empty());
}

TEST_CASE("no more microbatches are at work than may be in flight", "[unit]") {
  fixture f(1);
  give(f.core, step(0));
  give(f.core, parameters(0));
  const auto first = give_and_run(f.core, f.rows(0, 0));
  CHECK(sent<dispatch>(give_and_run(f.core, f.rows(0, 1))).empty());
  const auto out = answer_all(f, first);
  CHECK(sent<gradient>(out).size() == 2);
  CHECK(sent<dispatch>(out).size() == 2); // microbatch 0 has ended, 1 has begun
}

TEST_CASE("a step ends with one gradient per lane, folded in order, and a report", "[unit]") {
  fixture f;
  give(f.core, step(0));
  give(f.core, parameters(0));
  std::vector<outbox> bundles;
  for (auto m : {0u, 1u, 2u}) bundles.push_back(give_and_run(f.core, f.rows(0, m)));
  outbox all;
  for (auto m : {2u, 1u, 0u}) {
    auto out = answer_all(f, bundles[m]);
    std::ranges::move(out.messages, std::back_inserter(all.messages));
  }
  const auto lanes = sent_to<dense_gradient>(all, dense_address(0));
  REQUIRE(lanes.size() == 2);
  CHECK((lanes[0].lane == 1 && lanes[1].lane == 0)); // lane 1 was complete first
  // The same microbatches one after the other: lane 0 is microbatch 0, then 1.
  fixture g(1);
  give(g.core, step(0, {0, 1, 2}));
  give(g.core, parameters(0));
  auto next = give_and_run(g.core, g.rows(0, 0));
  give_and_run(g.core, g.rows(0, 1));
  give_and_run(g.core, g.rows(0, 2));
  std::vector<dense_gradient> alone;
  for (int i = 0; i < 3; ++i) {
    next = answer_all(g, next);
    alone.push_back(sent<dense_gradient>(next).at(0));
  }
  CHECK(word_of(lanes[1].value) == append(word_of(alone[0].value), word_of(alone[1].value)));
  CHECK(word_of(lanes[0].value) == word_of(alone[2].value));
  const auto reports = sent_to<replica_report>(all, optimizer_address());
  REQUIRE(reports.size() == 1);
  REQUIRE(reports[0].microbatches.size() == 3);
  CHECK(reports[0].microbatches[0].layers[0].expert_rows == std::vector<std::uint64_t>{2, 2, 0, 0});
  CHECK(exchanged(bundles, all, 1).bytes_received > 0);
  CHECK(reports[0].traffic == std::vector{exchanged(bundles, all, 1), exchanged(bundles, all, 2)});
  CHECK(sent<replica_report>(give(f.core, step(0))).size() == 1); // the optimizer did not hear it
}

TEST_CASE("repeated, foreign, old and misshapen answers are ignored", "[unit]") {
  fixture f;
  give(f.core, step(0));
  give(f.core, parameters(0));
  const auto out = give_and_run(f.core, f.rows(0, 0));
  const auto to_one = sent_to<dispatch>(out, host_address(1)).at(0);
  const auto to_two = sent_to<dispatch>(out, host_address(2)).at(0);
  auto wrong = answer(to_one, 1);
  wrong.id.term = old_term;
  CHECK(give(f.core, wrong).empty());
  wrong = answer(to_one, 3); // nobody was asked there
  CHECK(give(f.core, wrong).empty());
  wrong = answer(to_one, 1);
  wrong.outputs[0].value = rows({1}); // it had two rows
  CHECK(give(f.core, wrong).empty());
  wrong = answer(to_one, 1);
  wrong.outputs.pop_back();
  CHECK(give(f.core, wrong).empty());
  CHECK(give(f.core, answer(to_two, 2)).jobs.empty());
  CHECK(give(f.core, answer(to_two, 2)).jobs.empty()); // twice the same is not both
  CHECK(give(f.core, answer(to_one, 1)).jobs.size() == 1);
}

TEST_CASE("what is not answered is sent again, what is answered is not", "[unit]") {
  fixture f;
  give(f.core, step(0));
  give(f.core, parameters(0));
  const auto out = give_and_run(f.core, f.rows(0, 0));
  give(f.core, answer(sent_to<dispatch>(out, host_address(1)).at(0), 1));
  outbox later;
  f.core.tick(later);
  f.core.tick(later);
  CHECK(sent_to<dispatch>(later, host_address(1)).empty());
  CHECK(sent_to<dispatch>(later, host_address(2)).size() == 1);
  CHECK(sent<fetch>(later).size() == 2); // of microbatches 1 and 2
}

TEST_CASE("a large bundle has the time it needs on its way before it is sent again", "[unit]") {
  fixture f;
  give(f.core, step(0, {0}));
  give(f.core, parameters(0));
  constexpr std::uint64_t tokens = 1 << 19; // 8 bytes each, and two slots of 4 bytes: 8 MiB, a tick's worth
  const auto s = ledger_data(5, tokens, 1).read(step_kind::train, 0, 0, tokens);
  const auto out = give_and_run(f.core, batch{term, 0, 0, s.inputs, s.labels, s.ids});
  const auto full = sent_to<dispatch>(out, host_address(1)).at(0);
  REQUIRE(full.rows.bytes() + full.indices.bytes() == 8 << 20);
  outbox early;
  for (int i = 0; i < 2; ++i) f.core.tick(early);
  CHECK(sent_to<dispatch>(early, host_address(1)).empty());
  CHECK(sent_to<dispatch>(early, host_address(2)).size() == 1); // empty: only its answer takes time
  outbox later;
  f.core.tick(later);
  CHECK(sent_to<dispatch>(later, host_address(1)).size() == 1);
}

TEST_CASE("the next step starts when the parameters of its version are there", "[unit]") {
  fixture f;
  give(f.core, step(0, {0}));
  give(f.core, step(1, {0}));
  give(f.core, parameters(0));
  const auto first = give_and_run(f.core, f.rows(0, 0));
  give(f.core, f.rows(1, 0));
  CHECK(sent<dispatch>(answer_all(f, first)).empty());
  CHECK(sent<dispatch>(give_and_run(f.core, parameters(0))).empty());
  outbox later;
  for (int i = 0; i < 2; ++i) f.core.tick(later);
  CHECK(sent<dense_gradient>(later).size() == 1); // perhaps it, or the answer, got lost
  CHECK(sent<dispatch>(give_and_run(f.core, parameters(1))).size() == 2);
}

TEST_CASE("a replica without work in a step passes it without its parameters", "[unit]") {
  fixture f;
  auto p = step(0);
  for (auto& m : p.microbatches) m.replica = 1;
  const auto out = give(f.core, p);
  CHECK(sent<replica_report>(out).size() == 1);
  CHECK(sent<fetch>(out).empty());
  give(f.core, step(1));
  give(f.core, parameters(1));
  CHECK(sent<dispatch>(give_and_run(f.core, f.rows(1, 0))).size() == 2);
}

TEST_CASE("a replica that has passed a step without work still repeats its lanes of the step before",
          "[unit]") {
  fixture f;
  give(f.core, step(0, {0}));
  auto idle = step(1, {0});
  idle.microbatches[0].replica = 1;
  give(f.core, idle);
  give(f.core, parameters(0));
  const auto out = answer_all(f, give_and_run(f.core, f.rows(0, 0)));
  CHECK(sent<dense_gradient>(out).size() == 1);
  CHECK(sent<replica_report>(out).size() == 2);
  outbox later;
  for (int i = 0; i < 2; ++i) f.core.tick(later);
  CHECK(sent<dense_gradient>(later).size() == 1);
  give(f.core, parameters(1)); // the dense part has it
  outbox quiet;
  for (int i = 0; i < 40; ++i) f.core.tick(quiet);
  CHECK(sent<dense_gradient>(quiet).empty());
}

TEST_CASE("an evaluation runs forward only and its lanes carry no gradient", "[unit]") {
  fixture f;
  auto p = step(0, {0});
  p.kind = step_kind::evaluate;
  give(f.core, p);
  give(f.core, parameters(0));
  const auto bundles = give_and_run(f.core, f.rows(0, 0));
  CHECK_FALSE(sent<dispatch>(bundles).at(0).keep);
  const auto out = answer_all(f, bundles);
  CHECK(sent<gradient>(out).empty());
  CHECK_FALSE(sent<dense_gradient>(out).at(0).value.present());
  CHECK(sent<replica_report>(out).size() == 1);
}

TEST_CASE("with two layers the upper one's input gradients come before the lower one's gradients", "[unit]") {
  fixture f(1, 2);
  give(f.core, step(0, {0}));
  give(f.core, parameters(0));
  auto out = answer_all(f, give_and_run(f.core, f.rows(0, 0)));
  REQUIRE(sent<dispatch>(out).size() == 2);
  CHECK(sent<dispatch>(out)[0].id.layer == 1);
  out = answer_all(f, out);
  const auto upper = sent<gradient>(out);
  REQUIRE(upper.size() == 2);
  CHECK((upper[0].id.layer == 1 && upper[0].input_wanted));
  input_gradient one{upper[0].id, 1, {{{1, 0, 0}, rows({1, 2})}, {{1, 1, 0}, rows({3, 4})}}};
  input_gradient two{upper[0].id, 2, {{{1, 2, 0}, rows({})}, {{1, 3, 0}, rows({})}}};
  CHECK(give_and_run(f.core, one).empty());
  out = give_and_run(f.core, two);
  const auto lower = sent<gradient>(out);
  REQUIRE(lower.size() == 2);
  CHECK((lower[0].id.layer == 0 && !lower[0].input_wanted));
  CHECK(sent<dense_gradient>(out).size() == 1);
}

TEST_CASE("work that is refused for ever ends the run with the reason", "[unit]") {
  fixture f;
  give(f.core, step(0));
  give(f.core, parameters(0));
  give_and_run(f.core, f.rows(0, 0));
  const refusal other{{term, 0, 0, 0}, "[host] the bundle names other experts than the plan"};
  const refusal shape{{term, 0, 0, 0}, "[expert] gradient of another shape than its forward pass"};
  CHECK(give(f.core, other).empty());
  CHECK(give(f.core, other).empty());
  CHECK(give(f.core, shape).empty()); // for another reason: counted from the start
  CHECK(give(f.core, other).empty());
  CHECK(give(f.core, other).empty());
  const auto reports = sent_to<refusal>(give(f.core, other), coordinator_address());
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].id.term == term);
  CHECK(reports[0].reason
        == "[router] work of step 0, microbatch 0, layer 0: got refused 3 times, limit once: " + other.reason
             + "; please report this");
  CHECK(give(f.core, other).empty()); // said once
}

TEST_CASE("refusals of what came late, or of nobody's work, end nothing", "[unit]") {
  fixture f;
  give(f.core, step(0));
  give(f.core, parameters(0));
  give_and_run(f.core, f.rows(0, 0));
  const std::string permanent = "[expert] no such microbatch in the plan";
  for (const auto& m : {refusal{{term, 0, 0, 0}, permanent, true}, refusal{{old_term, 0, 0, 0}, permanent},
                        refusal{{term, 7, 0, 0}, permanent}, refusal{{term, 0, 9, 0}, permanent},
                        refusal{{term, 0, 0, 1}, permanent}})
    for (int i = 0; i < 10; ++i) CHECK(give(f.core, m).empty());
}

TEST_CASE("what a trunk cannot go on with names its step, counted from 1", "[unit]") {
  class failing_trunk : public ledger_trunk {
  public:
    using ledger_trunk::ledger_trunk;

    std::unique_ptr<trunk_tape> begin(const microbatch_context&, const batch&, const tensor&) override {
      throw run_failure({error_code::over_limit, "[router] logit: got nan"});
    }
  };
  const auto reason = [](step_kind kind) -> std::string {
    fixture f;
    failing_trunk trunk(1, {4, 2, 0b1100, 0, 0}, false);
    router_core core(settings(1, {}), trunk);
    auto permission = step(0, {0});
    permission.kind = kind;
    permission.ordinal = 11;
    give(core, permission);
    give(core, parameters(0));
    try {
      give_and_run(core, f.rows(0, 0));
    } catch (const run_failure& failure) {
      return failure.reason().text;
    }
    return "nothing was thrown";
  };
  CHECK(reason(step_kind::train) == "[router] logit: got nan (step 12)");
  CHECK(reason(step_kind::evaluate) == "[router] logit: got nan (evaluation 12)");
}

TEST_CASE("a router refuses a plan that does not place every expert", "[unit]") {
  fixture f;
  const auto lines = sent_to<refusal>(give(f.core, make_plan(0, {0}, {1, 1, 2})), coordinator_address());
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].reason == "[plan 0] placement: got 3 experts, limit at least 4");
}
