#include "launcher/node/recorder.hpp"

#include "launcher/node/layer_report.hpp"
#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <fstream>

using namespace troupe;
using namespace troupe::node;
using Catch::Matchers::WithinRel;

namespace {

step_summary step(step_kind kind, std::uint64_t ordinal, std::uint64_t rows) {
  step_summary result;
  result.permission.kind = kind;
  result.permission.ordinal = ordinal;
  result.permission.rows = rows;
  return result;
}

step_summary training(std::uint64_t ordinal, std::uint64_t rows) {
  return step(step_kind::train, ordinal, rows);
}

} // namespace

TEST_CASE("the rate of a run is of all its training steps, and evaluations take no time of it", "[unit]") {
  event_writer nowhere(-1);
  const head_options options;
  recorder all(options, 102, 51, nowhere);
  CHECK_FALSE(all.samples_per_second_of_run());
  double now = 0;
  all.take(training(0, 10), now); // how long it took nobody knows
  CHECK_FALSE(all.samples_per_second_of_run());
  for (std::uint64_t i = 1; i <= 50; ++i) all.take(training(i, 10), now += 0.5); // 500 rows in 25 s
  all.take(step(step_kind::evaluate, 0, 1000), now += 7);
  all.take(step(step_kind::evaluate, 1, 1000), now += 7);
  for (std::uint64_t i = 51; i <= 100; ++i) all.take(training(i, 30), now += 0.1); // 1,500 rows in 5 s
  CHECK_THAT(all.samples_per_second_of_run().value(), WithinRel(2000 / 30.0, 1e-9));
  all.take(training(110, 30), now += 1); // nine before it were left out: neither their rows nor their time
  CHECK_THAT(all.samples_per_second_of_run().value(), WithinRel(2000 / 30.0, 1e-9));
}

TEST_CASE("the balance loss that is shown is the one that counts, or else is measured", "[unit]") {
  model_options model;
  model.experts = 8;
  model.router.experts_per_token = 2;
  const auto shown = [&](std::vector<loss_option> losses) {
    model.router.losses = std::move(losses);
    return shown_balance_loss(model.router);
  };
  CHECK(shown({}) == "");
  CHECK(shown({{"z", 0.1}}) == "");
  CHECK(shown({{"z", 0.1}, {"variance", 0}, {"switch", 0}}) == "variance");
  CHECK(shown({{"variance", 0}, {"z", 0.1}, {"hf", 0.1}, {"switch", 0}}) == "hf");
  CHECK(shown({{"hf", 0.1}, {"switch", 0.1}}) == "switch");
  CHECK(loss_at_balance("switch", model) == 1);
  CHECK(loss_at_balance("hf", model) == 2);
}

TEST_CASE("a step tells the losses that were measured, the last one with their values at balance", "[unit]") {
  event_writer nowhere(-1);
  head_options options;
  options.config.model.experts = 8;
  options.config.model.router.experts_per_token = 2;
  const auto last_of = [&](std::vector<loss_option> losses) {
    options.config.model.router.losses = std::move(losses);
    auto summary = training(0, 8);
    summary.replicas.resize(1);
    auto& report = summary.replicas[0].microbatches.emplace_back();
    report.rows = 8;
    for (const double value : {2.25, 2.75}) { // two layers
      auto& layer = report.layers.emplace_back();
      for (const auto& loss : options.config.model.router.losses) layer.values.push_back({loss.name, value});
    }
    recorder all(options, 1, 1, nowhere);
    all.take(summary, 0);
    return all.progress();
  };
  const auto both = last_of({{"hf", 0.1}, {"variance", 0}});
  CHECK(both["aux"] == 2.5);
  CHECK(both["losses"]
        == nlohmann::ordered_json::parse(
          R"({"hf":{"value":2.5,"at_balance":2.0},"variance":{"value":2.5,"at_balance":0.0}})"));
  const auto none = last_of({});
  CHECK_FALSE(none.contains("aux"));
  CHECK(none["losses"].empty());
}

TEST_CASE("nodes have rates from the second step on", "[unit]") {
  event_writer nowhere(-1);
  head_options options;
  options.config.model.experts = 2;
  recorder all(options, 3, 3, nowhere);
  const auto with_load = [](std::uint64_t ordinal) {
    auto summary = training(ordinal, 8);
    summary.permission.placement = {1, 2};
    auto& report = summary.replicas.emplace_back().microbatches.emplace_back();
    report.rows = 8;
    report.layers.emplace_back().expert_rows = {6, 2};
    return summary;
  };
  CHECK(all.take(with_load(0), 0));
  CHECK(all.rates().empty());
  CHECK(all.take(with_load(1), 0.5));
  REQUIRE(all.rates().size() == 2);
  CHECK_THAT(all.rates().at(1).rows, WithinRel(12.0, 1e-9));
  CHECK_THAT(all.rates().at(2).rows, WithinRel(4.0, 1e-9));
}

TEST_CASE("progress changes with the steps that are told, and every step is in the metrics", "[unit]") {
  test::temporary_directory place;
  event_writer nowhere(-1);
  head_options options;
  options.log_interval = 0;
  options.metrics_file = place / "metrics";
  recorder all(options, 4, 4, nowhere);
  REQUIRE(all.open());
  CHECK(all.progress().empty());
  CHECK(all.take(training(0, 8), 0));
  CHECK(all.progress()["step"] == 1);
  CHECK(all.progress()["samples_per_second"].is_null()); // how long a step takes is not known yet
  CHECK(all.progress()["steps_per_second"].is_null());
  CHECK_FALSE(all.take(training(1, 8), 0.01)); // there are at most 20 in a second
  CHECK(all.progress()["step"] == 1);
  CHECK_FALSE(all.take(step(step_kind::evaluate, 0, 8), 0.5));
  CHECK(all.take(training(2, 8), 0.51));
  CHECK(all.progress()["step"] == 3);
  CHECK_THAT(all.progress()["steps_per_second"].get<double>(), WithinRel(2 / 0.51, 1e-9));
  CHECK_THAT(all.progress()["samples_per_second"].get<double>(), WithinRel(16 / 0.51, 1e-9));
  CHECK(all.take(training(3, 8), 0.52)); // the last
  REQUIRE(all.close_metrics(0));
  std::ifstream file(options.metrics_file);
  std::string line;
  for (int i = 1; i <= 4; ++i) {
    REQUIRE(std::getline(file, line));
    const auto told = nlohmann::json::parse(line);
    CHECK(told["step"] == i);
    CHECK(told.contains("layers"));
    CHECK(told["samples_per_second"].is_null() == (i == 1));
  }
  CHECK_FALSE(std::getline(file, line));
}
