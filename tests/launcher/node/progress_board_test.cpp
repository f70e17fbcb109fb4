#include "launcher/node/progress_board.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace troupe;
using namespace troupe::node;
using namespace std::chrono_literals;

namespace {

nlohmann::json fields_of(const progress_board& board, progress_board::time now) {
  return nlohmann::json::parse(board.read(now, "r").text);
}

/// A board whose last step has ended at `at`, with `rate` steps per second.
void tell(progress_board& board, progress_board::time at, const nlohmann::ordered_json& rate) {
  board.write({{"step", 7}, {"samples_per_second", rate}, {"steps_per_second", rate}}, {{1, {5, 6, 7}}});
  board.step_ended(at);
}

} // namespace

TEST_CASE("progress is shown as it was told, with the name of the run", "[unit]") {
  progress_board board;
  CHECK(fields_of(board, {}) == nlohmann::json{{"run_id", "r"}});
  const progress_board::time at{1h};
  tell(board, at, 10.0);
  const auto fields = fields_of(board, at + 3s);
  CHECK(fields["step"] == 7);
  CHECK(fields["steps_per_second"] == 10.0);
  CHECK_FALSE(fields.contains("seconds_since_step"));
  CHECK(board.read(at + 3s, "r").rates.at(1).rows == 5);
}

TEST_CASE("a run that stands still has no rates", "[unit]") {
  progress_board board;
  const progress_board::time at{1h};
  tell(board, at, 10.0);
  const auto fields = fields_of(board, at + 4s);
  CHECK(fields["step"] == 7);
  CHECK(fields["steps_per_second"].is_null());
  CHECK(fields["samples_per_second"].is_null());
  CHECK(fields["seconds_since_step"] == 4.0);
  CHECK(board.read(at + 4s, "r").rates.empty());
  board.step_ended(at + 4s); // a step of an evaluation, say
  CHECK(fields_of(board, at + 5s)["steps_per_second"] == 10.0);
}

TEST_CASE("a run of long steps is given the time of five", "[unit]") {
  progress_board board;
  const progress_board::time at{1h};
  tell(board, at, 0.5);
  CHECK(fields_of(board, at + 10s)["steps_per_second"] == 0.5);
  CHECK(fields_of(board, at + 11s)["seconds_since_step"] == 11.0);
  tell(board, at, nullptr); // the first step: not measured yet
  CHECK(fields_of(board, at + 4s)["seconds_since_step"] == 4.0);
}
