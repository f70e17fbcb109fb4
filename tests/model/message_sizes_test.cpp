#include "model/message_sizes.hpp"

#include "model/experts/mlp_expert.hpp"
#include "model/extensions.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace troupe;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

/// 20 inputs, 12 outputs.
model_shape small() {
  model_shape s;
  s.input_width = 20;
  s.output_width = 12;
  return s;
}

std::string problem_of(const configuration& config, const limits& bounds, std::uint64_t test_rows = 1000) {
  const auto result = check_message_sizes(config, small(), test_rows, bounds);
  if (result) return {};
  CHECK(result.error().code == error_code::usage);
  return result.error().text;
}

limits of(std::size_t bytes) {
  limits result;
  result.message_bytes_max = bytes;
  return result;
}

} // namespace

TEST_CASE("the bytes of an expert's state are known before it is made", "[unit]") {
  for (const auto* precision : {"f32", "f64"})
    for (const auto* activation : {"relu", "swiglu"})
      for (const auto* optimizer : {"sgd", "adamw"})
        for (const bool momentum : {false, true}) {
          configuration config;
          config.model.precision = precision;
          config.model.expert_activation = activation;
          config.model.expert_hidden_size = 7;
          config.model.shared_experts = 3;
          config.optimizer.name = optimizer;
          config.optimizer.momentum = momentum ? 0.5 : 0;
          for (const std::uint16_t expert : {0, 4})
            CHECK(expert_state_bytes(config, small(), expert)
                  == make_mlp_expert(config, small(), {0, expert, 0}).value()->save().bytes());
        }
  configuration shared;
  shared.model.shared_experts = 3;
  CHECK(states_bytes(shared, small())
        == 4 * expert_state_bytes(shared, small(), 0) + expert_state_bytes(shared, small(), 4));
  configuration own;
  own.model.expert_kind = "linear";
  CHECK(expert_state_bytes(own, small(), 0) == 0);
}

TEST_CASE("a run with nodes is refused when a state does not fit into a message", "[unit]") {
  configuration config;
  config.schedule.batch_size = 1;
  const auto bytes = expert_state_bytes(config, small(), 0);
  CHECK(problem_of(config, of(bytes), 1).empty());
  CHECK_THAT(problem_of(config, of(bytes - 1), 1),
             StartsWith("--expert-hidden-size: got 64") && ContainsSubstring(std::to_string(bytes) + " bytes")
               && ContainsSubstring("limit " + std::to_string(bytes - 1)) && ContainsSubstring("--nodes 0"));
  config.model.shared_experts = 2;
  CHECK_THAT(problem_of(config, of(bytes), 1), StartsWith("--shared-expert-hidden-size: got 128"));
}

TEST_CASE("a run with nodes is refused when a bundle does not fit into a message", "[unit]") {
  configuration config;
  config.model.expert_hidden_size = 1;
  config.schedule.batch_size = 100'000;
  config.schedule.num_microbatches = 2;
  const std::size_t dispatched = 50'000 * (20 * 4 + 2 * 4); // rows of 20 floats, two i32 indices each
  CHECK(bundle_bytes_max(config, small(), 50'000) == std::max<std::size_t>(dispatched, 50'000 * 2 * 12 * 4));
  const auto largest = bundle_bytes_max(config, small(), 50'000);
  CHECK(problem_of(config, of(largest)).empty());
  CHECK_THAT(problem_of(config, of(largest - 1)),
             StartsWith("--batch-size: got 100000 rows in 2 microbatches")
               && ContainsSubstring("more --num-microbatches"));
  config.schedule.batch_size = 10;
  config.schedule.eval_batch_size = 100'000;
  CHECK_THAT(problem_of(config, of(largest - 1), 100'000), StartsWith("eval_batch_size: got 100000 rows"));
  CHECK(problem_of(config, of(largest - 1), 1000).empty()); // there are no more rows
}

TEST_CASE("a bundle's bytes count bytes, pairs of expert choice, the shared expert and gradients of inputs",
          "[unit]") {
  configuration config;
  auto widths = small();
  widths.byte_inputs = true;
  widths.output_width = 1;
  CHECK(bundle_bytes_max(config, widths, 10) == 10 * (20 + 2 * 4));
  config.model.shared_experts = 1;
  CHECK(bundle_bytes_max(config, widths, 10) == 10 * (20 + 3 * 4));
  config.model.router.name = "expert_choice";
  config.model.router.choice_capacity_factor = 1; // each of 4 experts takes 3 of 10
  CHECK(bundle_bytes_max(config, widths, 10) == 10 * 20 + (4 * 3 + 10) * 4);
  widths.input_rows = 10;
  widths.byte_inputs = false;
  CHECK(bundle_bytes_max(config, widths, 10) == (4 * 3 + 10) * 20 * 4);
}
