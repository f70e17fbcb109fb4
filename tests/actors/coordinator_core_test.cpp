#include "actors/coordinator/core.hpp"

#include "messages/limits.hpp"
#include "tests/actors/support.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;

namespace {

coordinator_settings settings(std::uint32_t nodes_expected) {
  coordinator_settings s;
  s.term = term;
  s.run_id = "run-1";
  s.configuration = "{}";
  s.configuration_hash = "c0";
  s.fingerprint = "f0";
  s.fingerprint_text = "torch 2.13";
  s.experts = 6;
  s.nodes_expected = nodes_expected;
  return s;
}

join_request request(std::string name = "") {
  join_request r;
  r.protocol = protocol_version;
  r.name = std::move(name);
  r.fingerprint = "f0";
  return r;
}

/// Lets `count` nodes in; the last one starts the run.
outbox start(coordinator_core& core, int count) {
  outbox out;
  for (int i = 0; i < count; ++i) {
    const auto w = core.join(request(), "here");
    REQUIRE(w);
    core.receive(ready{term, w->node}, out);
  }
  return out;
}

expected<void> lose(coordinator_core& core, node_id node) {
  outbox out;
  return core.lost(node, "gone", out);
}

void check_refused(join_request r, const char* got) {
  coordinator_core core(settings(1));
  const auto answer = core.join(r, "here");
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == error_code::mismatch);
  CHECK_THAT(answer.error().text, ContainsSubstring(got));
  CHECK(core.nodes().empty());
}

} // namespace

TEST_CASE("the run starts once the expected nodes are ready, with contiguous blocks of experts", "[unit]") {
  coordinator_core core(settings(2));
  CHECK(start(core, 1).empty());
  CHECK_FALSE(core.started());
  const auto changes = sent_to<placement_change>(start(core, 1), optimizer_address());
  REQUIRE(changes.size() == 1);
  CHECK(changes[0].placement == std::vector<node_id>{1, 1, 1, 2, 2, 2});
  CHECK(changes[0].nodes == std::vector<node_id>{1, 2});
  CHECK(changes[0].version == 1); // hosts know the first placement by its number
}

TEST_CASE("a run without nodes keeps its experts in the head", "[unit]") {
  coordinator_core core(settings(0));
  outbox out;
  core.start_alone(out);
  CHECK(sent<placement_change>(out).at(0).placement == std::vector<node_id>(6, 0));
  CHECK_FALSE(core.join(request(), "here"));
}

TEST_CASE("a node with another protocol, run, configuration or numerics is not let in", "[unit]") {
  auto r = request();
  r.protocol = 99;
  check_refused(r, "99");
  r = request();
  r.run_id = "run-2";
  check_refused(r, "run-2");
  r = request();
  r.configuration_hash = "c9";
  check_refused(r, "c9");
  r = request();
  r.fingerprint = "f9";
  check_refused(r, "f9");
}

TEST_CASE("names stay unique among those who are there", "[unit]") {
  coordinator_core core(settings(2));
  CHECK(core.join(request("a"), "here")->node == 1);
  CHECK(core.join(request("a"), "here")->node == 2);
  CHECK(core.nodes().at(1).name == "a");
  CHECK(core.nodes().at(2).name != "a");
}

TEST_CASE("a name is never another node's number, nor one that was made up for another", "[unit]") {
  coordinator_core core(settings(3));
  const auto number = core.join(request("1"), "here");
  REQUIRE_FALSE(number);
  CHECK_THAT(number.error().text,
             ContainsSubstring("name of the node: got 1,") && ContainsSubstring("--name"));
  outbox out;
  for (const auto& name : {"node-2", "", ""}) {
    const auto w = core.join(request(name), "here");
    REQUIRE(w);
    core.receive(ready{term, w->node}, out);
  }
  CHECK(core.nodes().at(2).name != "node-2");
  CHECK(core.drain("node-2", out).value() == 1); // the name, not the number
  CHECK(core.drain("2", out).value() == 2);
}

TEST_CASE("a node is told the name that it was given", "[unit]") {
  coordinator_core core(settings(2));
  CHECK(core.join(request("a"), "here")->name == "a");
  CHECK(core.join(request("a"), "here")->name == "node-2");
  CHECK(core.join(request(), "here")->name == "node-3");
}

TEST_CASE("a name that a terminal or a command could stumble over is refused", "[unit]") {
  coordinator_core core(settings(2));
  for (const auto& bad : {std::string("two words"), std::string("\x1b[2J"), std::string("\xff"),
                          std::string("a\nb"), std::string(129, 'a')}) {
    const auto answer = core.join(request(bad), "here");
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == error_code::malformed);
    CHECK_THAT(answer.error().text, ContainsSubstring("name"));
  }
  CHECK(core.nodes().empty());
  CHECK(core.join(request("rack-2.host_7:a"), "here"));
}

TEST_CASE("a host name that a terminal could stumble over is refused", "[unit]") {
  coordinator_core core(settings(2));
  for (const auto* host : {"", "atlas", "node-7.cluster.example:eth0", "what?"}) {
    auto r = request();
    r.host = host;
    CHECK(core.join(r, "here"));
  }
  for (const auto& host : {std::string("a\nb"), std::string("\x1b[2J"), std::string("zo\xc3\xab"),
                           std::string("a b"), std::string(129, 'a')}) {
    auto r = request();
    r.host = host;
    const auto answer = core.join(r, "here");
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == error_code::malformed);
    CHECK_THAT(answer.error().text, ContainsSubstring("[join] host name: got")
                                      && ContainsSubstring("limit 128 printable ASCII characters"));
  }
}

TEST_CASE("configurations that differ are told by the beginning of their hashes, and the run's", "[unit]") {
  auto s = settings(1);
  s.configuration = "the run's";
  s.configuration_hash = "0123456789abcdef";
  coordinator_core core(s);
  auto r = request();
  r.configuration_hash = "fedcba9876543210";
  const auto answer = core.join(r, "here");
  REQUIRE_FALSE(answer);
  CHECK_THAT(answer.error().text, ContainsSubstring("got hash fedcba987654, this run has 0123456789ab; "));
  CHECK(answer.error().configuration_of_run == "the run's");
  CHECK(core.nodes().empty());
  r.run_id = "another"; // who has come to the wrong run is told nothing of it
  CHECK(core.join(r, "here").error().configuration_of_run.empty());
  CHECK(core.join(request(), "here")->node == 1); // nobody was before it
}

TEST_CASE("who joins and leaves before it is ready is forgotten", "[unit]") {
  coordinator_core core(settings(1));
  start(core, 1);
  for (int i = 0; i < 3000; ++i) { // more than may be there at one time
    const auto w = core.join(request(), "here");
    REQUIRE(w);
    CHECK(w->node == i + 2); // numbers are not used again: late letters must not find another node
    REQUIRE(lose(core, w->node));
    CHECK_FALSE(core.awaits({term, w->node}));
  }
  CHECK(core.nodes().size() == 1);
}

TEST_CASE("as many nodes as the limit are let in at one time", "[unit]") {
  coordinator_core core(settings(1));
  for (std::uint32_t i = 0; i < limits{}.nodes_max; ++i) REQUIRE(core.join(request(), "here"));
  const auto more = core.join(request(), "here");
  REQUIRE_FALSE(more);
  CHECK_THAT(more.error().text, ContainsSubstring("1024"));
  REQUIRE(lose(core, 5));
  CHECK(core.join(request(), "here"));
}

TEST_CASE("numbers of nodes run out rather than being given to two", "[unit]") {
  coordinator_core core(settings(1));
  for (std::uint32_t i = 1; i < collected; ++i) {
    const auto w = core.join(request(), "here");
    REQUIRE(w);
    lose(core, w->node);
  }
  const auto more = core.join(request(), "here");
  REQUIRE_FALSE(more);
  CHECK(more.error().code == error_code::over_limit);
}

TEST_CASE("only a node that was let in under this term is awaited", "[unit]") {
  coordinator_core core(settings(2));
  REQUIRE(core.join(request(), "here"));
  CHECK(core.awaits({term, 1}));
  CHECK_FALSE(core.awaits({old_term, 1}));
  CHECK_FALSE(core.awaits({term, 2}));
  outbox out;
  core.receive(ready{term, 1}, out);
  CHECK_FALSE(core.awaits({term, 1})); // nobody else takes its place
}

TEST_CASE("changes of placement go one after the other", "[unit]") {
  coordinator_core core(settings(1));
  start(core, 1);
  CHECK(start(core, 1).empty()); // the first one is not settled yet
  CHECK(give(core, placement_settled{old_term, 1}).empty());
  const auto changes = sent<placement_change>(give(core, placement_settled{term, 1}));
  REQUIRE(changes.size() == 1);
  CHECK(changes[0].version == 2);
  CHECK(give(core, placement_settled{term, 1}).empty()); // a repeat
}

TEST_CASE("a run that has not started says how many nodes it waits for", "[unit]") {
  coordinator_core core(settings(3));
  CHECK(core.nodes_awaited() == 3);
  start(core, 1);
  CHECK(core.nodes_awaited() == 2);
  REQUIRE(core.join(request(), "here")); // not ready yet
  CHECK(core.nodes_awaited() == 2);
  start(core, 2);
  CHECK(core.nodes_awaited() == 0);
  outbox out;
  REQUIRE(core.drain("1", out));
  CHECK(core.nodes_awaited() == 0);
}

TEST_CASE("a node that is asked to leave is released when its experts have moved", "[unit]") {
  coordinator_core core(settings(3));
  start(core, 3);
  give(core, placement_settled{term, 1});
  outbox out;
  REQUIRE(core.drain("2", out).value() == 2);
  const auto change = sent<placement_change>(out).at(0);
  CHECK(std::ranges::find(change.placement, 2) == change.placement.end());
  CHECK(change.nodes == std::vector<node_id>{1, 2, 3}); // it still has to see the plan
  CHECK(sent<release>(out).empty());
  const auto done = give(core, placement_settled{term, 2});
  const auto releases = sent_to<release>(done, host_address(2));
  REQUIRE(releases.size() == 1);
  CHECK(releases.front().how == parting::drained);
  CHECK(sent<placement_change>(done).at(0).nodes == std::vector<node_id>{1, 3});
  CHECK(core.nodes().at(2).state == node_state::released);
  CHECK(to_string(core.nodes().at(2).state) == "left"); // in `troupe status` as in the head's log
}

TEST_CASE("a node that is asked to leave during a change stays until the next one", "[unit]") {
  coordinator_core core(settings(3));
  start(core, 3);
  outbox out;
  REQUIRE(core.drain("2", out));
  CHECK(out.empty());
  const auto first = give(core, placement_settled{term, 1});
  CHECK(sent<release>(first).empty());
  CHECK(sent<placement_change>(first).size() == 1);
  CHECK(sent<release>(give(core, placement_settled{term, 2})).size() == 1);
}

TEST_CASE("the last node and unknown ones cannot be drained", "[unit]") {
  coordinator_core core(settings(1));
  outbox out;
  CHECK(core.drain("1", out).error().code == error_code::not_found);
  start(core, 1);
  CHECK(core.drain("1", out).error().code == error_code::usage);
  CHECK(core.drain("nobody", out).error().code == error_code::not_found);
  CHECK(out.empty());
}

TEST_CASE("losing a node with experts ends the run by name, one without them does not", "[unit]") {
  coordinator_core core(settings(2));
  start(core, 2);
  REQUIRE(core.join(request("spare"), "there"));
  CHECK(lose(core, 3));
  const auto bad = lose(core, 1);
  REQUIRE_FALSE(bad);
  CHECK_THAT(bad.error().text, ContainsSubstring("node-1") && ContainsSubstring("gone")
                                 && ContainsSubstring("its experts' state is gone, start the run again"));
}

TEST_CASE("the run goes on without a node that has no experts", "[unit]") {
  auto s = settings(3);
  s.experts = 2;
  coordinator_core core(s);
  start(core, 3);
  CHECK(core.idle() == std::vector<node_id>{3}); // also while the first placement is not settled
  give(core, placement_settled{term, 1});
  outbox out;
  REQUIRE(core.lost(3, "gone", out));
  CHECK(core.nodes().at(3).state == node_state::lost);
  CHECK(core.take_events().back().reason == "gone");
  const auto change = sent_to<placement_change>(out, optimizer_address()).at(0);
  CHECK(change.placement == std::vector<node_id>{1, 2});
  CHECK(change.nodes == std::vector<node_id>{1, 2}); // no plans to nobody
  CHECK(core.idle().empty());
  CHECK_FALSE(lose(core, 2));
}

TEST_CASE("a node whose experts are on their way is needed until they have arrived", "[unit]") {
  auto s = settings(3);
  s.experts = 2;
  coordinator_core core(s);
  start(core, 3);
  give(core, placement_settled{term, 1});
  outbox out;
  REQUIRE(core.drain("1", out));
  CHECK(sent<placement_change>(out).at(0).placement == std::vector<node_id>{3, 2});
  CHECK(core.idle().empty()); // neither whom they leave nor where they go
  const auto bad = lose(core, 1);
  REQUIRE_FALSE(bad);
  CHECK_THAT(bad.error().text, ContainsSubstring("node-1") && ContainsSubstring("state is gone"));
}

TEST_CASE("a node that is lost before the run starts ends it, with no word of experts", "[unit]") {
  coordinator_core core(settings(2));
  start(core, 1);
  CHECK(core.idle().empty());
  const auto bad = lose(core, 1);
  REQUIRE_FALSE(bad);
  CHECK_THAT(bad.error().text, ContainsSubstring("cannot begin") && !ContainsSubstring("expert"));
}

TEST_CASE("the last node that may take experts is needed, even without any", "[unit]") {
  auto s = settings(2);
  s.experts = 1;
  coordinator_core core(s);
  start(core, 2);
  outbox out;
  REQUIRE(core.drain("1", out)); // its expert moves when the first placement has settled
  const auto bad = lose(core, 2);
  REQUIRE_FALSE(bad);
  CHECK_THAT(bad.error().text, ContainsSubstring("the last one that may take experts"));
}

TEST_CASE("an expert's host is found with any number of layers", "[unit]") {
  auto s = settings(2);
  s.layers = 3;
  s.experts = 3;
  coordinator_core core(s);
  start(core, 2);
  const auto placement = core.placement();
  REQUIRE(placement.size() == 9);
  for (std::uint16_t layer = 0; layer < 3; ++layer)
    for (std::uint16_t e = 0; e < 3; ++e)
      CHECK(core.host_of({layer, e, 0}) == placement[std::size_t{layer} * 3 + e]);
}

TEST_CASE("states are relayed to the node that takes over, or collected", "[unit]") {
  coordinator_core core(settings(2));
  start(core, 2);
  const owner_id owner{0, 3, 0};
  const owner_state moving{term, owner, 4, 2, 1, simulation::bytes_of(1)};
  CHECK(sent_to<owner_state>(give(core, moving), host_address(2)).size() == 1);
  CHECK(sent_to<state_received>(give(core, state_received{term, owner, 4, 1}), host_address(1)).size() == 1);
  auto asked_for = moving;
  asked_for.to = collected;
  CHECK(give(core, asked_for).empty());
  CHECK(core.collected_states().size() == 1);
  asked_for.term = old_term;
  asked_for.owner = {0, 4, 0};
  give(core, asked_for);
  CHECK(core.collected_states().size() == 1);
}
