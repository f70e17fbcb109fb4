#include "actors/host/core.hpp"

#include "tests/actors/support.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr owner_id e0{0, 0, 0}, e1{0, 1, 0}, e2{0, 2, 0};

/// Node 1 of a run with 3 experts.
host_core make_host() {
  return host_core({term, 1, 3, true, {}});
}

plan at(std::uint64_t step, std::vector<node_id> placement, std::uint64_t version = 1) {
  auto p = make_plan(step, {0, 0}, std::move(placement));
  p.placement_version = version;
  return p;
}

/// A bundle for the experts named: one row, that of the first.
dispatch bundle(std::uint64_t step, std::vector<owner_id> owners, term_id t = term) {
  dispatch d{{t, step, 0, 0}, 0, true, rows({11}), indices({0}), {}};
  for (std::size_t i = 0; i < owners.size(); ++i) d.experts.push_back({owners[i], i == 0 ? 0u : 1u, 1});
  return d;
}

} // namespace

TEST_CASE("a host bears its experts with the first placement, fresh whichever plan comes first", "[unit]") {
  auto host = make_host();
  const auto out = give(host, at(1, {1, 2, 1}));
  REQUIRE(out.experts.size() == 2);
  for (auto& change : out.experts) CHECK((change.born && change.fresh));
  CHECK(host.experts() == std::vector{e0, e2});
  const auto earlier = give(host, at(0, {1, 2, 1}));
  CHECK(earlier.experts.empty());
  CHECK(sent_to<expert_plan>(earlier, expert_address(1, e0)).size() == 1); // it is theirs too
}

TEST_CASE("the experts of a node share one plan", "[unit]") {
  auto host = make_host();
  const auto p = at(0, {1, 2, 1});
  const auto plans = sent<expert_plan>(give(host, p));
  REQUIRE(plans.size() == 2);
  CHECK(*plans[0].permission == p);
  CHECK(plans[0].permission == plans[1].permission);
}

TEST_CASE("experts of a later placement wait for their state", "[unit]") {
  auto host = make_host();
  const auto out = give(host, at(4, {1, 2, 2}, 2));
  REQUIRE(out.experts.size() == 1);
  CHECK_FALSE(out.experts[0].fresh);
}

TEST_CASE("a host forwards a bundle's parts and answers with one bundle in its order", "[unit]") {
  auto host = make_host();
  give(host, at(0, {1, 2, 1}));
  const auto out = give(host, bundle(0, {e0, e2}));
  const auto parts = sent<expert_forward>(out);
  REQUIRE(parts.size() == 2);
  CHECK((parts[0].owner == e0 && parts[0].begin == 0 && parts[0].end == 1));
  CHECK((parts[1].owner == e2 && parts[1].begin == 1 && parts[1].end == 1)); // no rows, but it is told so
  const work_id id{term, 0, 0, 0};
  CHECK(give(host, expert_output{id, e2, rows({})}).messages.empty());
  CHECK(give(host, bundle(0, {e0, e2})).messages.empty()); // a repeat while the answer is on its way
  const auto answer = sent_to<combine>(give(host, expert_output{id, e0, rows({5})}), router_address(0));
  REQUIRE(answer.size() == 1);
  CHECK((answer[0].node == 1 && answer[0].outputs[0].owner == e0 && answer[0].outputs[1].owner == e2));
  CHECK(give(host, expert_output{id, e0, rows({5})}).messages.empty());
  CHECK(sent<expert_forward>(give(host, bundle(0, {e0, e2}))).size() == 2); // a later repeat asks again
}

TEST_CASE("a bundle that comes before its plan is held once", "[unit]") {
  auto host = make_host();
  CHECK(give(host, bundle(0, {e0, e2})).messages.empty());
  CHECK(give(host, bundle(0, {e0, e2})).messages.empty());
  CHECK(host.waiting() == 1);
  CHECK(sent<expert_forward>(give(host, at(0, {1, 2, 1}))).size() == 2);
  CHECK(host.waiting() == 0);
}

TEST_CASE("a host refuses old terms, steps that are over and bundles for other experts", "[unit]") {
  auto host = make_host();
  give(host, at(0, {1, 2, 1}));
  CHECK(refuses(give(host, bundle(0, {e0, e2}, old_term)), true));
  CHECK(refuses(give(host, bundle(0, {e0, e1})), false));
  CHECK(refuses(give(host, bundle(0, {e0})), false)); // not all of them
  give(host, at(1, {1, 2, 1}));
  give(host, at(2, {1, 2, 1}));
  CHECK(refuses(give(host, bundle(0, {e0, e2})), true));
  auto stale = at(3, {2, 2, 2});
  stale.term = old_term;
  CHECK(give(host, stale).empty());
}

TEST_CASE(
  "applied and norms are reported once all experts of the node have them, and again with a repeated plan",
  "[unit]") {
  auto host = make_host();
  auto p = at(0, {1, 2, 1});
  p.last = true;
  give(host, p);
  CHECK(give(host, norm_report{term, 0, {{e0, 2}}}).messages.empty());
  const auto norms = sent_to<norm_report>(give(host, norm_report{term, 0, {{e2, 3}}}), optimizer_address());
  REQUIRE(norms.size() == 1);
  CHECK(norms[0].norms == std::vector<norm_report::entry>{{e0, 2}, {e2, 3}});
  CHECK(give(host, applied{term, 0, {e2}}).messages.empty());
  const auto done = sent_to<applied>(give(host, applied{term, 0, {e0}}), optimizer_address());
  REQUIRE(done.size() == 1);
  CHECK(done[0].owners == std::vector{e0, e2});
  CHECK(sent_to<applied>(give(host, p), optimizer_address()).size() == 1);
}

TEST_CASE("a report goes home with a bundle of the next step", "[unit]") {
  auto host = make_host();
  give(host, at(0, {1, 2, 1}));
  CHECK(give(host, applied{term, 0, {e2}, 1, 2, 3}).messages.empty());
  CHECK(give(host, applied{term, 0, {e0}, 10, 20, 30}).messages.empty());
  CHECK(sent<applied>(give(host, at(1, {1, 2, 1}))).empty());
  for (std::uint32_t microbatch : {0, 1}) {
    auto d = bundle(1, {e0, e2});
    d.id.microbatch = microbatch;
    give(host, d);
    give(host, expert_output{d.id, e0, rows({5})});
    const auto out = give(host, expert_output{d.id, e2, rows({})});
    CHECK(out.messages.size() == 1);
    const auto answer = sent<combine>(out);
    REQUIRE(answer.size() == 1);
    CHECK(answer[0].done.has_value() == (microbatch == 0));
    if (microbatch == 0) CHECK(*answer[0].done == applied{term, 0, {e0, e2}, 11, 22, 33});
  }
  CHECK(sent_to<applied>(give(host, at(0, {1, 2, 1})), optimizer_address()).size() == 1); // it is missed
}

TEST_CASE("a report does not wait for a bundle that may not come", "[unit]") {
  const auto moves = at(1, {1, 2, 2}, 2);
  SECTION("the plan comes after the report") {
    auto host = make_host();
    give(host, at(0, {1, 2, 1}));
    give(host, applied{term, 0, {e0}});
    CHECK(give(host, applied{term, 0, {e2}}).messages.empty());
    CHECK(sent_to<applied>(give(host, moves), optimizer_address()).size() == 1);
  }
  SECTION("the plan comes before it") {
    auto host = make_host();
    give(host, at(0, {1, 2, 1}));
    give(host, moves);
    give(host, applied{term, 0, {e0}});
    CHECK(sent_to<applied>(give(host, applied{term, 0, {e2}}), optimizer_address()).size() == 1);
  }
  SECTION("the bundle has gone before it") {
    auto host = make_host();
    give(host, at(0, {1, 2, 1}));
    give(host, at(1, {1, 2, 1}));
    const auto d = bundle(1, {e0, e2});
    give(host, d);
    give(host, applied{term, 0, {e0}});
    give(host, expert_output{d.id, e0, rows({5})});
    CHECK_FALSE(sent<combine>(give(host, expert_output{d.id, e2, rows({})})).at(0).done);
    CHECK(sent_to<applied>(give(host, applied{term, 0, {e2}}), optimizer_address()).size() == 1);
  }
}

TEST_CASE("a bundle brings its plan", "[unit]") {
  auto host = make_host();
  auto d = bundle(0, {e0, e2});
  d.permission = std::make_shared<const plan>(at(0, {1, 2, 1}));
  const auto out = give(host, d);
  CHECK(out.experts.size() == 2);
  CHECK(sent<expert_plan>(out).size() == 2);
  CHECK(sent<expert_forward>(out).size() == 2);
  CHECK(host.waiting() == 0);
  d.id.microbatch = 1; // another router's first
  const auto second = give(host, d);
  CHECK(sent<expert_plan>(second).empty());
  CHECK(sent<expert_forward>(second).size() == 2);
}

TEST_CASE("an expert that leaves is buried when the second plan after proves its successor", "[unit]") {
  auto host = make_host();
  give(host, at(0, {1, 2, 1}));
  give(host, at(1, {1, 2, 1}));
  give(host, at(2, {1, 2, 2}, 2));
  CHECK(host.leaving() == std::vector{e2});
  CHECK(give(host, at(3, {1, 2, 2}, 2)).experts.empty());
  const auto out = give(host, at(4, {1, 2, 2}, 2));
  REQUIRE(out.experts.size() == 1);
  CHECK((out.experts[0].owner == e2 && !out.experts[0].born));
}

TEST_CASE("a plan of before an expert moved in is not shown to it", "[unit]") {
  // Otherwise it would read there that it leaves.
  auto host = make_host();
  give(host, at(4, {1, 2, 2}));
  give(host, at(5, {1, 2, 1}, 2));
  const auto out = give(host, at(4, {1, 2, 2}));
  CHECK(sent_to<expert_plan>(out, expert_address(1, e0)).size() == 1);
  CHECK(sent_to<expert_plan>(out, expert_address(1, e2)).empty());
  CHECK(host.leaving().empty());
}

TEST_CASE("of two plans under which an expert moves in the earlier may come later", "[unit]") {
  auto host = make_host();
  give(host, at(6, {1, 2, 1}, 2));
  CHECK(sent_to<expert_plan>(give(host, at(5, {1, 2, 1}, 2)), expert_address(1, e2)).size() == 1);
}

TEST_CASE("a plan two steps behind is dropped", "[unit]") {
  auto host = make_host();
  give(host, at(4, {1, 2, 2}, 2));
  give(host, at(5, {1, 2, 2}, 2));
  give(host, at(6, {1, 2, 2}, 2));
  CHECK(give(host, at(4, {2, 1, 2})).empty());
}

TEST_CASE("a state waits for its plan, unless it is of an earlier stay", "[unit]") {
  auto host = make_host();
  const owner_state state{term, e2, 5, 1, 2, simulation::bytes_of(9)};
  give(host, at(4, {1, 2, 2}));
  CHECK(give(host, state).messages.empty());
  CHECK(give(host, state).messages.empty());
  CHECK(host.waiting() == 1);
  CHECK(sent_to<owner_state>(give(host, at(5, {1, 2, 1}, 2)), expert_address(1, e2)).size() == 1);
  auto elsewhere = make_host();
  give(elsewhere, at(7, {1, 2, 2}, 3));
  CHECK(give(elsewhere, state).empty());
  CHECK(elsewhere.waiting() == 0);
}

TEST_CASE("a gradient reaches all experts of its layer and input gradients come back as one bundle",
          "[unit]") {
  auto host = make_host();
  give(host, at(0, {1, 2, 1}));
  const work_id id{term, 0, 1, 0};
  const auto out = give(host, gradient{id, 0, true, rows({3}), gates({0.5})});
  CHECK(sent<expert_backward>(out).size() == 2);
  CHECK(give(host, expert_input_gradient{id, e0, rows({1})}).messages.empty());
  CHECK(
    sent_to<input_gradient>(give(host, expert_input_gradient{id, e2, rows({2})}), router_address(0)).size()
    == 1);
  CHECK(host.under_way() == 0);
}

TEST_CASE("an expert's refusal goes to the router that asked, and the bundle is forgotten", "[unit]") {
  auto host = make_host();
  give(host, at(0, {1, 2, 1}));
  give(host, bundle(0, {e0, e2}));
  CHECK(host.under_way() == 1);
  CHECK(sent_to<refusal>(give(host, refusal{{term, 0, 0, 0}, "no"}), router_address(0)).size() == 1);
  CHECK(host.under_way() == 0);
}

TEST_CASE("a host refuses a plan with fewer experts than a layer has", "[unit]") {
  auto host = make_host();
  const auto out = give(host, at(0, {1, 2}));
  CHECK(out.experts.empty());
  const auto lines = sent_to<refusal>(out, coordinator_address());
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].reason == "[plan 0] placement: got 2 experts, limit at least 3");
}
