// What somebody at the listening port can do to a run: nothing. Each test ends with the digest of an
// undisturbed run.

#include "tests/messages/samples.hpp"
#include "tests/process/runs.hpp"
#include "tests/process/stranger.hpp"

#include <caf/error.hpp>
#include <caf/exit_reason.hpp>
#include <caf/system_messages.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <memory>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

using words = std::vector<std::string>;

/// A run on one node that listens and takes its time: strangers come in the middle.
class visited_run {
public:
  visited_run()
    : run_(process::start(awkward_run(
      {"--nodes", "1", "--optimizer", "adam", "--message-delay-ms", "5", "--listen", "127.0.0.1:0"}))),
      address(address_of_run(run_)) {
    REQUIRE(run_.wait_for_output("Step 10 ", 60s));
    pause_ = std::make_unique<paused>(process_of_node(run_, "node-1"));
  }

  /// The run has said why it refused a message: the whole line.
  std::string complaint(const std::string& about) {
    INFO(run_.errors());
    REQUIRE(run_.wait_for_errors(about, 30s));
    const auto errors = run_.errors();
    const auto at = errors.find(about);
    const auto begin = errors.rfind('\n', at) + 1;
    return errors.substr(begin, errors.find('\n', at) - begin);
  }

  /// Waits until everything that was sent before has been looked at: the coordinator answers in order.
  void settle() {
    const auto status = run({program("troupe"), "status", address, "--json"}, 30s);
    INFO(status.output << status.errors);
    REQUIRE(status.status.success());
  }

  void ends_undisturbed() {
    settle();
    pause_.reset();
    const auto end = run_.wait(120s);
    INFO(run_.output() << run_.errors());
    REQUIRE(end);
    REQUIRE(end->success());
    static const auto undisturbed = digest_of_run(awkward_run({"--optimizer", "adam"}));
    REQUIRE(digest_in(run_.output()) == undisturbed);
  }

  std::string errors() const { return run_.errors(); }
  std::string output() const { return run_.output(); }

private:
  process run_;
  std::unique_ptr<paused> pause_;

public:
  std::string address;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// `m` as it travels (docs/wire.md), with its last payload replaced.
std::string with_last_payload(const owner_state& m, std::uint64_t announced, const std::string& bytes) {
  const auto encoded = encode(m);
  const std::string header(reinterpret_cast<const char*>(encoded.header.data()), encoded.header.size());
  return caf_bytes(static_cast<std::uint32_t>(header.size())) + header + caf_bytes(std::uint32_t{1})
         + caf_bytes(announced) + bytes;
}

owner_state state_of(std::size_t bytes) {
  auto m = samples<owner_state>().front();
  m.state = tensor::zeros(dtype::u8, {static_cast<std::int64_t>(bytes)});
  return m;
}

} // namespace

TEST_CASE("strangers are turned away and the run goes on", "[process]") {
  visited_run visited;
  raw_connection half_open(visited.address);
  REQUIRE(half_open.connected());
  raw_connection noise(visited.address);
  noise.send(std::string(4096, '\x7f') + "GET / HTTP/1.1\r\n\r\n");
  const auto refused = [&](words more, const std::string& names) {
    more.insert(more.begin(), {program("troupe"), "node", "--join", visited.address});
    const auto done = run(more, 60s);
    INFO(done.output << done.errors);
    CHECK(done.status.code == 1);
    CHECK(done.errors.starts_with("troupe: error: "));
    CHECK(std::ranges::count(done.errors, '\n') == 1);
    CHECK(has(done.errors, names));
  };
  refused({"--run-id", "ffffffffffffffff"}, "run id: got ffffffffffffffff");
  temporary_directory place;
  refused(
    {"--config", place.write("other.toml", "lr = 0.123\n")},
    R"([join] configuration: data.name: the run has "gaussian", this node was given "fashion-mnist"; )"
    "model.experts: the run has 7, this node was given 4; model.expert_hidden_size: the run has 50, this "
    "node was given 64; and ");
  refused({"--name", "line\nbreak \x1b[2J"}, "name of the node");
  visited.ends_undisturbed();
}

TEST_CASE("messages over a limit and with shapes that lie are refused in one line each", "[process]") {
  visited_run visited;
  stranger someone(visited.address);
  const auto type = caf::type_id_v<owner_state>;

  auto too_many = caf_bytes(std::uint32_t{8}) + std::string(8, '\0') + caf_bytes(std::uint32_t{5000});
  someone.tell(caf_message({type}, too_many));
  const auto over_limit = visited.complaint("payloads: got 5000");
  CHECK(over_limit.starts_with("troupe: warning: "));
  CHECK(has(over_limit, "limit 4096 (payloads_max)"));

  someone.tell(caf_message({type}, with_last_payload(state_of(100), 2'000'000'000, "")));
  CHECK(has(visited.complaint("message bytes: got 2000000"), "limit 1073741824 (message_bytes_max)"));

  someone.tell(caf_message({type}, with_last_payload(state_of(100), 50, std::string(50, 'x'))));
  const auto lie = visited.complaint("[decode owner_state]");
  CHECK(has(lie, "50"));
  CHECK(has(lie, "100"));
  visited.ends_undisturbed();
}

TEST_CASE("a stranger who floods a run with bad messages does not flood the terminal", "[process]") {
  visited_run visited;
  stranger someone(visited.address);
  const auto bad = caf_message({caf::type_id_v<owner_state>}, caf_bytes(std::uint32_t{0xffffffff}));
  for (int i = 0; i < 5000; ++i) someone.tell(bad);
  visited.complaint("header bytes: got 4294967295");
  visited.ends_undisturbed();
  const auto errors = visited.errors();
  CHECK(std::ranges::count(errors, '\n') >= 1);
  CHECK(std::ranges::count(errors, '\n') <= 15); // 4 at once, then one in ten seconds
}

TEST_CASE("messages in the name of nobody change nothing", "[process]") {
  visited_run visited;
  stranger someone(visited.address);
  const term_id unknown{1234, 1};
  const owner_id owner{0, 0, 0};
  someone.tell(caf_message_of(refusal{{unknown, 0, 0, 0}, "the run is over, says a stranger"}));
  someone.tell(caf_message_of(placement_settled{unknown, 1}));
  auto state = state_of(100);
  for (const node_id to : {node_id{1}, node_id{77}, collected}) {
    state.term = unknown;
    state.owner = owner;
    state.to = to;
    someone.tell(caf_message_of(state));
    someone.tell(caf_message_of(state_received{unknown, owner, 3, to}));
  }
  // It says that it is node 1.
  someone.tell(caf_message({caf::type_id_v<ready>, caf::type_id_v<host_actor>},
                           caf_bytes(ready{unknown, 1}) + someone.handle(17)));
  // Work for everybody: the actors of a head have small numbers.
  for (std::uint64_t actor = 1; actor < 40; ++actor) {
    someone.tell(actor, caf_message_of(commit{unknown, 3, 2.0}));
    someone.tell(actor, caf_message_of(applied{unknown, 3, {owner}}));
    someone.tell(actor, caf_message_of(samples<plan>().front()));
    someone.tell(actor, caf_message_of(samples<combine>().front()));
  }
  visited.ends_undisturbed();
  CHECK_FALSE(has(visited.errors(), "stranger"));
}

TEST_CASE("nobody but the head itself ends a run or its actors", "[process]") {
  visited_run visited;
  stranger someone(visited.address);
  const auto reason = caf_bytes(caf::make_error(caf::exit_reason::kill));
  const auto nobody = caf_bytes(std::uint64_t{0}) + caf_bytes(caf::node_id{});
  const auto end_of_run = caf_message({caf::type_id_v<end_run>}, caf_bytes(std::string("bye")));
  for (std::uint64_t actor = 1; actor < 40; ++actor) {
    someone.tell(actor, caf_message({caf::type_id_v<retire>}, ""));
    someone.tell(actor, end_of_run);
    someone.tell(actor, caf_message_of(release{{1234, 1}, "bye"}));
    someone.tell(actor, caf_message({caf::type_id_v<collect_states>}, caf_bytes(std::uint64_t{3})));
    someone.tell(actor, caf_message({caf::type_id_v<caf::error>}, reason));
    someone.tell(actor, caf_message({caf::type_id_v<caf::exit_msg>}, nobody + reason));
  }
  visited.ends_undisturbed();
}

TEST_CASE("connections that stall in the middle of a message hold nothing up", "[process]") {
  visited_run visited;
  stranger someone(visited.address);
  someone.stall(1 << 20, 10);
  raw_connection half_a_greeting(visited.address);
  half_a_greeting.send(std::string(7, '\0'));
  visited.ends_undisturbed();
}

TEST_CASE("very many connections hold nothing up", "[process]") {
  visited_run visited;
  std::vector<std::unique_ptr<raw_connection>> crowd;
  for (int i = 0; i < 600; ++i) {
    crowd.push_back(std::make_unique<raw_connection>(visited.address));
    if (i % 2 == 0) crowd.back()->send(std::string(static_cast<std::size_t>(i % 64), '\x01'));
  }
  visited.ends_undisturbed();
}

TEST_CASE("a crowd that takes every file descriptor does not cost the trained model", "[process]") {
  temporary_directory place;
  auto command = awkward_run({"--nodes", "1", "--optimizer", "adam", "--message-delay-ms", "5", "--listen",
                              "127.0.0.1:0", "--save", place / "model"});
  command.insert(command.begin(), {"bash", "-c", R"(ulimit -n 80; exec "$0" "$@")"});
  auto run = process::start(command);
  const auto address = address_of_run(run);
  REQUIRE(run.wait_for_output("Step 10 ", 60s));
  std::vector<std::unique_ptr<raw_connection>> crowd;
  for (int i = 0; i < 150; ++i) crowd.push_back(std::make_unique<raw_connection>(address));
  const auto end = run.wait(120s);
  INFO(run.output() << run.errors());
  REQUIRE(end);
  REQUIRE(end->success());
  const auto script = troupe::test::run(
    {"python3", std::string(TROUPE_SOURCE_DIR) + "/scripts/digest.py", place / "model"}, 30s);
  REQUIRE(has(script.output, digest_in(run.output())));
}
