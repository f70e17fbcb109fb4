#include "launcher/events.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace troupe;
using namespace troupe::launcher;

namespace {

template <class Event>
Event read(const std::string& line) {
  const auto parsed = parse_event(line);
  REQUIRE(parsed);
  REQUIRE(std::holds_alternative<Event>(*parsed));
  return std::get<Event>(*parsed);
}

} // namespace

TEST_CASE("each event is read with its fields", "[unit]") {
  const auto listening = read<listening_event>(
    R"({"event":"listening","host":"::1","port":41234,"run_id":"r"})");
  CHECK(listening.host == "::1");
  CHECK(listening.port == 41234);
  CHECK(listening.run_id == "r");
  const auto node = read<node_event>(R"({"event":"node","node":2,"name":"n","state":"lost","reason":"why"})");
  CHECK(node.node == 2);
  CHECK(node.state == "lost");
  CHECK(node.reason == "why");
  const auto step = read<step_event>(
    R"({"event":"step","step":100,"of":469,"epoch":1,"loss":0.5,"aux":1.5,"z":0.25,"lr":0.001,"samples_per_second":1e4,
        "expert_rows":[[1,2],[3,4]],"entropy":1.25,"dead_experts":3,"phases_us":{"route":1.5},"bytes_sent":7})");
  CHECK(step.step == 100);
  CHECK(step.of == 469);
  CHECK(step.epoch == 1);
  CHECK(step.loss == 0.5);
  CHECK(step.learning_rate == 0.001);
  CHECK(step.expert_rows == rows_per_expert{{1, 2}, {3, 4}});
  CHECK(step.dead_experts == 3);
  CHECK(step.bytes_sent == 7);
  CHECK(step.aux == 1.5);
  CHECK(step.losses.empty());
  const auto last = read<step_event>(
    R"({"event":"step","losses":{"variance":{"value":0.5,"at_balance":0},"hf":{"value":2.5,"at_balance":2}}})");
  CHECK_FALSE(last.aux);
  REQUIRE(last.losses.size() == 2);
  CHECK(last.losses.at("hf").value == 2.5);
  CHECK(last.losses.at("hf").at_balance == 2);
  CHECK(last.losses.at("variance").at_balance == 0);
  const auto evaluation = read<evaluation_event>(
    R"({"event":"evaluation","accuracy":0.875,"rows":10000,"epoch":2})");
  CHECK(evaluation.accuracy == 0.875);
  CHECK(evaluation.rows == 10000);
  const auto start = read<start_event>(R"({"event":"start","train_steps":5,"aux_name":"hf"})");
  CHECK(start.train_steps == 5);
  CHECK(start.aux_name == "hf");
  CHECK(read<digest_event>(R"({"event":"digest","sha256":"ab"})").sha256 == "ab");
  CHECK(read<saved_event>(R"({"event":"saved","directory":"d"})").directory == "d");
  CHECK(read<warning_event>(R"({"event":"warning","text":"w"})").text == "w");
  CHECK(read<done_event>(R"({"event":"done","seconds":2.5})").seconds == 2.5);
  CHECK(read<idle_event>(R"({"event":"idle","names":["a","b"]})").names
        == std::vector<std::string>{"a", "b"});
  CHECK(read<joined_event>(R"({"event":"joined","node":4})").node == 4);
  CHECK(read<joined_event>(R"({"event":"joined","node":4,"name":"node-4"})").name == "node-4");
}

TEST_CASE("an error event carries the code that decides the exit code", "[unit]") {
  CHECK(read<error_event>(R"({"event":"error","code":"usage","text":"t"})").code == error_code::usage);
  CHECK(read<error_event>(R"({"event":"error","code":"mismatch"})").code == error_code::mismatch);
  CHECK(read<error_event>(R"({"event":"error","code":"run_failed"})").code == error_code::run_failed);
  CHECK(read<error_event>(R"({"event":"error","code":"brand new"})").code == error_code::internal);
}

TEST_CASE("a loss that is no number is written as null and stays no number", "[unit]") {
  CHECK(std::isnan(read<step_event>(R"({"event":"step","loss":null})").loss));
}

TEST_CASE("events and fields of a newer node program are skipped", "[unit]") {
  CHECK(read<unknown_event>(R"({"event":"weather","x":1})").name == "weather");
  CHECK(read<digest_event>(R"({"event":"digest","sha256":"ab","more":[1]})").sha256 == "ab");
}

TEST_CASE("a line that is no event is refused", "[unit]") {
  for (const char* line :
       {"", "text", "[]", "{", R"({"step":1})", R"({"event":1})", R"({"event":"step","step":"x"})",
        R"({"event":"step","expert_rows":[1]})", R"({"event":"step","loss":"x"})",
        R"({"event":"step","losses":[1]})", "\xff\xfe"}) {
    CAPTURE(line);
    const auto parsed = parse_event(line);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == error_code::malformed);
  }
}

TEST_CASE("bytes become lines however they are cut", "[unit]") {
  const std::string text = "one\ntwo\n\nthree";
  for (std::size_t cut = 1; cut <= text.size(); ++cut) {
    line_buffer buffer;
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size(); at += cut) {
      REQUIRE(buffer.append(std::string_view(text).substr(at, cut)));
      for (std::string line; buffer.next(line);) lines.push_back(line);
    }
    CHECK(lines == std::vector<std::string>{"one", "two", ""});
    CHECK(buffer.rest() == "three");
  }
}

TEST_CASE("a line without an end is refused before it fills the memory", "[unit]") {
  line_buffer buffer;
  const std::string piece(std::size_t{1} << 20, 'x');
  bool sound = true;
  for (int round = 0; round < 32 && sound; ++round) sound = buffer.append(piece);
  CHECK_FALSE(sound);
  CHECK(buffer.append("next\n"));
}
