#include "model/data/batch_geometry.hpp"

#include "model/random.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <numeric>
#include <set>

using namespace troupe;

namespace {

using list = std::vector<std::uint32_t>;

schedule_options schedule(std::uint64_t batch, std::uint32_t microbatches, std::uint32_t lanes) {
  schedule_options options;
  options.batch_size = batch;
  options.num_microbatches = microbatches;
  options.lanes = lanes;
  options.eval_batch_size = batch;
  return options;
}

} // namespace

TEST_CASE("FashionMNIST at batch 128 has 469 steps, the last of 96 rows", "[unit]") {
  const auto options = schedule(128, 4, 3);
  CHECK(steps_per_epoch(options, 60000) == 469);
  const auto first = cut_of(options, 60000, step_kind::train, 0);
  CHECK(first == batch_cut{0, 0, 128, list{32, 32, 32, 32}, list{0, 0, 1, 2}});
  CHECK(first.lanes() == 3);
  CHECK(cut_of(options, 60000, step_kind::train, 468)
        == batch_cut{0, 59904, 96, list{24, 24, 24, 24}, list{0, 0, 1, 2}});
  CHECK(cut_of(options, 60000, step_kind::train, 469).epoch == 1);
  CHECK(cut_of(options, 60000, step_kind::train, 469).first == 0);
}

TEST_CASE("uneven steps are cut into parts that differ by one, larger first", "[unit]") {
  const auto options = schedule(10, 4, 3);
  CHECK(cut_of(options, 25, step_kind::train, 0) == batch_cut{0, 0, 10, list{3, 3, 2, 2}, list{0, 0, 1, 2}});
  CHECK(cut_of(options, 25, step_kind::train, 2) == batch_cut{0, 20, 5, list{2, 1, 1, 1}, list{0, 0, 1, 2}});
  CHECK(cut_of(options, 25, step_kind::train, 0).offset_of(2) == 6);
}

TEST_CASE("a last batch smaller than the number of microbatches has fewer of them", "[unit]") {
  const auto options = schedule(10, 4, 3);
  CHECK(cut_of(options, 12, step_kind::train, 1) == batch_cut{0, 10, 2, list{1, 1}, list{0, 1}});
  CHECK(cut_of(options, 11, step_kind::train, 1) == batch_cut{0, 10, 1, list{1}, list{0}});
}

TEST_CASE("evaluation goes over the test part in batches and starts over", "[unit]") {
  auto options = schedule(128, 2, 2);
  options.eval_batch_size = 1000;
  CHECK(evaluation_batches(options, 10000) == 10);
  CHECK(evaluation_batches(options, 10001) == 11);
  CHECK(cut_of(options, 10000, step_kind::evaluate, 9)
        == batch_cut{0, 9000, 1000, list{500, 500}, list{0, 1}});
  CHECK(cut_of(options, 10000, step_kind::evaluate, 10) == batch_cut{1, 0, 1000, list{500, 500}, list{0, 1}});
}

TEST_CASE("the run's length comes from max_steps or else from epochs", "[unit]") {
  auto options = schedule(100, 1, 1);
  options.epochs = 3;
  CHECK(train_steps(options, 250) == 9);
  options.max_steps = 5;
  CHECK(train_steps(options, 250) == 5);
}

TEST_CASE("evaluations come at the asked-for epochs and at the end", "[unit]") {
  auto options = schedule(100, 1, 1);
  options.epochs = 5; // of 3 steps
  const auto due = [&] {
    std::vector<std::uint64_t> result;
    for (std::uint64_t updates = 0; updates <= 15; ++updates)
      if (evaluation_due(options, 250, updates)) result.push_back(updates);
    return result;
  };
  CHECK(due() == std::vector<std::uint64_t>{15});
  options.eval_interval_epochs = 2;
  CHECK(due() == std::vector<std::uint64_t>{6, 12, 15});
  options.evaluate_at_end = false;
  CHECK(due() == std::vector<std::uint64_t>{6, 12});
}

TEST_CASE("every epoch covers every row once, whatever the sizes", "[unit]") {
  const philox_stream random(1, "test/geometry");
  for (std::uint64_t round = 0; round < 500; ++round) {
    auto draw = [&, n = round * 8]() mutable { return random.bits(n++); };
    const auto rows = 1 + draw() % 300;
    const auto batch = 1 + draw() % 100;
    const auto microbatches = static_cast<std::uint32_t>(1 + draw() % batch);
    const auto options = schedule(batch, microbatches, static_cast<std::uint32_t>(1 + draw() % microbatches));
    const auto steps = steps_per_epoch(options, rows);
    std::uint64_t next = 0;
    for (std::uint64_t step = 0; step < steps; ++step) {
      const auto cut = cut_of(options, rows, step_kind::train, steps * 2 + step);
      CHECK(cut.epoch == 2);
      CHECK(cut.first == next);
      CHECK(std::accumulate(cut.microbatch_rows.begin(), cut.microbatch_rows.end(), std::uint64_t{0})
            == cut.rows);
      const auto [low, high] = std::ranges::minmax(cut.microbatch_rows);
      CHECK((low >= 1 && high - low <= 1));
      CHECK(std::ranges::is_sorted(cut.microbatch_rows, std::greater<>()));
      CHECK(cut.microbatch_lane.size() == cut.microbatch_rows.size());
      CHECK(std::ranges::is_sorted(cut.microbatch_lane));
      CHECK(std::set(cut.microbatch_lane.begin(), cut.microbatch_lane.end()).size() == cut.lanes());
      CHECK(cut.lanes() == std::min<std::uint64_t>(options.lanes, cut.microbatch_rows.size()));
      next += cut.rows;
    }
    CHECK(next == rows);
  }
}
