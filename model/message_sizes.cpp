#include "model/message_sizes.hpp"

#include "model/checks.hpp"
#include "model/experts/mlp_expert.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace troupe {

namespace {

std::uint64_t real_bytes(const configuration& config) {
  return config.model.precision == "f64" ? sizeof(double) : sizeof(float);
}

/// (row, expert) pairs of `rows` rows, the shared expert's included.
std::uint64_t pairs_max(const model_options& model, std::uint64_t rows) {
  const auto& router = model.router;
  const auto shared = model.shared_experts > 0 ? rows : 0;
  if (router.name != "expert_choice") return rows * router.experts_per_token + shared;
  const auto each = std::ceil(static_cast<double>(rows) * router.choice_capacity_factor / model.experts);
  return model.experts * static_cast<std::uint64_t>(std::min(each, static_cast<double>(rows))) + shared;
}

std::string limit_text(const limits& bounds) {
  return std::to_string(bounds.message_bytes_max)
         + " bytes in one message between processes (message_bytes_max)";
}

} // namespace

std::uint64_t expert_state_bytes(const configuration& config, const model_shape& widths,
                                 std::uint32_t expert) {
  if (config.model.expert_kind != "mlp") return 0;
  return mlp_state_bytes(config, widths, expert);
}

std::uint64_t states_bytes(const configuration& config, const model_shape& widths) {
  const auto& model = config.model;
  const auto all = model.experts * expert_state_bytes(config, widths, 0);
  return model.shared_experts > 0 ? all + expert_state_bytes(config, widths, model.experts) : all;
}

std::uint64_t bundle_bytes_max(const configuration& config, const model_shape& widths, std::uint64_t rows) {
  const auto real = real_bytes(config);
  const auto in = static_cast<std::uint64_t>(widths.input_width);
  const auto out = static_cast<std::uint64_t>(widths.output_width);
  const auto pairs = pairs_max(config.model, rows);
  const auto dispatched = rows * in * (widths.byte_inputs ? 1 : real) + pairs * sizeof(std::int32_t);
  const auto combined = pairs * out * real;
  const auto gradient = rows * out * real + pairs * real;
  const auto input_gradient = widths.input_rows > 0 ? pairs * in * real : 0;
  return std::max({dispatched, combined, gradient, input_gradient});
}

expected<void> check_message_sizes(const configuration& config, const model_shape& widths,
                                   std::uint64_t test_rows, const limits& bounds) {
  checks check;
  const auto owners = config.model.owners_per_layer();
  for (const auto expert : {std::uint32_t{0}, owners - 1}) {
    const bool shared = expert == config.model.experts;
    const auto bytes = expert_state_bytes(config, widths, expert);
    check.require(bytes <= bounds.message_bytes_max,
                  shared ? "--shared-expert-hidden-size" : "--expert-hidden-size",
                  std::to_string(config.model.hidden_size_of(expert)) + ", with moments a state of "
                    + std::to_string(bytes) + " bytes",
                  limit_text(bounds), "choose smaller experts, or --nodes 0 to keep them in one process");
  }
  const auto& schedule = config.schedule;
  const auto microbatch = [&](std::uint64_t rows) {
    return (rows + schedule.num_microbatches - 1) / schedule.num_microbatches;
  };
  const auto bundle = [&](const char* option, std::uint64_t rows) {
    const auto bytes = bundle_bytes_max(config, widths, microbatch(rows));
    check.require(bytes <= bounds.message_bytes_max, option,
                  std::to_string(rows) + " rows in " + std::to_string(schedule.num_microbatches)
                    + " microbatches, a bundle of up to " + std::to_string(bytes) + " bytes",
                  limit_text(bounds), "choose a smaller batch or more --num-microbatches, or --nodes 0");
  };
  bundle("--batch-size", schedule.batch_size);
  bundle("eval_batch_size", std::min(schedule.eval_batch_size, test_rows));
  return check.result();
}

} // namespace troupe
