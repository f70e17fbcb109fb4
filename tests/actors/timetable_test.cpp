#include "actors/optimizer/timetable.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <vector>

using namespace troupe;
using Catch::Matchers::WithinRel;

namespace {

optimizer_options options(const char* schedule) {
  optimizer_options o;
  o.schedule = schedule;
  o.learning_rate = 0.4;
  o.min_learning_rate = 0.04;
  o.warmup_steps = 3;
  return o;
}

void check_rates(const char* schedule, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK_THAT(learning_rate_at(options(schedule), i, expected.size()), WithinRel(expected[i], 1e-14));
}

std::string steps_of(timetable t) {
  std::string result;
  while (auto e = t.next()) {
    result += e->kind == step_kind::train ? 't' : 'e';
    result += std::to_string(e->ordinal);
    if (e->last_of_evaluation) result += '!';
    result += ' ';
  }
  return result;
}

} // namespace

// torch 2.13: SequentialLR of LinearLR(1/3, 1, 2) and, from step 3 of 10 on, the scheduler named.

TEST_CASE("the cosine schedule gives PyTorch's CosineAnnealingLR after a linear warm-up", "[unit]") {
  check_rates("cosine",
              {0.13333333333333333, 0.26666666666666666, 0.4, 0.4, 0.37588457268119901, 0.31000000000000005,
               0.22000000000000006, 0.13000000000000006, 0.064115427318801044, 0.04});
}

TEST_CASE("the linear schedule gives PyTorch's LinearLR after a linear warm-up", "[unit]") {
  check_rates("linear",
              {0.13333333333333333, 0.26666666666666666, 0.4, 0.4, 0.34000000000000002, 0.28000000000000003,
               0.22000000000000003, 0.16000000000000003, 0.10000000000000002, 0.04});
}

TEST_CASE("the constant schedule stays where the warm-up ends", "[unit]") {
  check_rates("constant", {0.13333333333333333, 0.26666666666666666, 0.4, 0.4, 0.4, 0.4});
}

TEST_CASE("schedules too short for their warm-up, or with one step, have no division by zero", "[unit]") {
  for (auto* name : {"constant", "linear", "cosine"}) {
    CHECK(learning_rate_at(options(name), 1, 2) == 0.4 * 2 / 3);
    CHECK(learning_rate_at(options(name), 3, 4) == 0.4);
    auto plain = options(name);
    plain.warmup_steps = 0;
    CHECK(learning_rate_at(plain, 0, 1) == 0.4);
  }
}

TEST_CASE("a timetable interleaves updates and evaluation passes", "[unit]") {
  schedule_options s;
  s.batch_size = 4;
  s.max_steps = 7;
  s.eval_batch_size = 5;
  s.eval_interval_epochs = 1;
  s.evaluate_at_end = true;
  // 10 training rows: 3 steps per epoch; 11 test rows: 3 batches.
  CHECK(steps_of(timetable(s, 10, 11)) == "t0 t1 t2 e0 e1 e2! t3 t4 t5 e0 e1 e2! t6 e0 e1 e2! ");
  s.eval_interval_epochs = 0;
  CHECK(steps_of(timetable(s, 10, 11)) == "t0 t1 t2 t3 t4 t5 t6 e0 e1 e2! ");
  s.evaluate_at_end = false;
  CHECK(steps_of(timetable(s, 10, 11)) == "t0 t1 t2 t3 t4 t5 t6 ");
  CHECK(steps_of(timetable(s, 10, 11, false)) == "e0 e1 e2! ");
}
