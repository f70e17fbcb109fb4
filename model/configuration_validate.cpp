#include "model/checks.hpp"
#include "model/configuration.hpp"
#include "model/configuration_routing.hpp"
#include "model/extensions.hpp"

#include "messages/limits.hpp"

#include <algorithm>

namespace troupe {

namespace {

// Bounds of single values. Rows and slots of a bundle are indexed with 31 bits.
constexpr std::uint64_t rows_max = std::uint64_t{1} << 24;
constexpr std::uint64_t slots_max = (std::uint64_t{1} << 31) - 1;
constexpr std::uint64_t steps_max = std::uint64_t{1} << 48;
constexpr std::int64_t width_max = std::int64_t{1} << 20;
constexpr std::uint32_t threads_max = 1024;
constexpr std::uint32_t local_nodes_max = 64; // each a process, all on the cores of one machine

template <class Map>
std::vector<std::string> with_names(std::vector<std::string> names, const Map& more) {
  for (const auto& [name, factory] : more) names.push_back(name);
  return names;
}

const std::vector<std::string> standard_data = {"fashion-mnist", "gaussian", "tensors"};
const std::vector<std::string> standard_experts = {"mlp"};

template <class Map>
void check_own_names(checks& check, const std::string& kind, const std::vector<std::string>& standard,
                     const Map& more) {
  for (const auto& name : standard)
    check.require(!more.contains(name), "extension", "a " + kind + " named '" + name + "'",
                  "a name of its own", "the standard " + kind + " has that name");
}

void check_data(checks& check, const data_options& data, const extensions& more) {
  check_own_names(check, "data set", standard_data, more.data_sets);
  check.one_of("--data", data.name, with_names(standard_data, more.data_sets));
  if (data.name == "tensors")
    check.require(!data.directory.empty(), "--data-dir", "nothing", "a safetensors file",
                  "--data tensors reads its rows from there");
  if (data.name == "gaussian") {
    check.range("--gaussian-rows", data.gaussian_rows, 1, slots_max);
    check.range("--gaussian-width", data.gaussian_width, 1, width_max);
    check.range("--gaussian-classes", data.gaussian_classes, 1, width_max);
  }
}

void check_model(checks& check, const model_options& model, const extensions& more) {
  check_own_names(check, "expert", standard_experts, more.experts);
  check.one_of("model.task", model.task, {"classify", "mean_square"});
  check.range("--num-experts", model.experts, 1, limits{}.experts_max);
  check.range("--expert-hidden-size", model.expert_hidden_size, 1, width_max);
  check.one_of("--expert", model.expert_kind, with_names(standard_experts, more.experts));
  check.one_of("--expert-activation", model.expert_activation, {"relu", "silu", "gelu", "swiglu"});
  check.one_of("--precision", model.precision, {"f32", "f64"});
  check_own_names(check, "router", standard_routers(), more.routers);
  check.one_of("--router", model.router.name, with_names(standard_routers(), more.routers));
  check_routing(check, model);
}

void check_optimizer(checks& check, const optimizer_options& optimizer) {
  check.one_of("--optimizer", optimizer.name, {"sgd", "adam", "adamw"});
  check.not_negative("--lr", optimizer.learning_rate);
  check.one_of("--lr-schedule", optimizer.schedule, {"constant", "linear", "cosine"});
  check.range("--warmup-steps", optimizer.warmup_steps, 0, steps_max);
  check.not_negative("--min-lr", optimizer.min_learning_rate);
  check.range("--min-lr", optimizer.min_learning_rate, 0, optimizer.learning_rate, "choose at most --lr");
  check.fraction("--momentum", optimizer.momentum);
  check.require(optimizer.momentum == 0 || optimizer.name == "sgd", "--momentum",
                "it with --optimizer " + optimizer.name, "--optimizer sgd", "use --beta1 here");
  check.fraction("--beta1", optimizer.beta1);
  check.fraction("--beta2", optimizer.beta2);
  check.positive("--epsilon", optimizer.epsilon);
  check.not_negative("--weight-decay", optimizer.weight_decay);
  check.not_negative("--clip-norm", optimizer.clip_norm, "0 turns clipping off");
  check.one_of("--clip-scope", optimizer.clip_scope, {"global", "local"});
}

void check_schedule(checks& check, const schedule_options& schedule) {
  check.range("--batch-size", schedule.batch_size, 1, rows_max);
  check.range("--num-microbatches", schedule.num_microbatches, 1, limits{}.microbatches_max);
  check.require(schedule.num_microbatches <= schedule.batch_size, "--num-microbatches",
                std::to_string(schedule.num_microbatches),
                std::to_string(schedule.batch_size) + " (the batch size)",
                "choose fewer or raise --batch-size");
  check.range("--lanes", schedule.lanes, 1, limits{}.microbatches_max);
  check.require(schedule.lanes <= schedule.num_microbatches, "--lanes", std::to_string(schedule.lanes),
                std::to_string(schedule.num_microbatches) + " (the number of microbatches)",
                "choose fewer or raise --num-microbatches");
  check.range("--max-steps", schedule.max_steps, 0, steps_max);
  check.range("--epochs", schedule.epochs, schedule.max_steps == 0 ? 1 : 0, std::uint64_t{1} << 24);
  check.range("eval_batch_size", schedule.eval_batch_size, 1, rows_max);
}

void check_all(checks& check, const configuration& config, const extensions& more) {
  check_data(check, config.data, more);
  check_model(check, config.model, more);
  check_optimizer(check, config.optimizer);
  check_schedule(check, config.schedule);
  check.range("--intra-op-threads", config.intra_op_threads, 1, threads_max);
  const auto rows = std::max(config.schedule.batch_size, config.schedule.eval_batch_size);
  check.require(rows * config.model.slots_per_row_max() <= slots_max, "--batch-size",
                std::to_string(rows) + " rows with up to " + std::to_string(config.model.slots_per_row_max())
                  + " experts each, the shared one included",
                std::to_string(slots_max) + " (token, expert) pairs", "choose a smaller batch");
}

} // namespace

expected<void> validate(const configuration& config, const extensions& more) {
  checks check;
  check_all(check, config, more);
  return check.result();
}

expected<void> validate(const configuration& config, const run_options& options, const extensions& more) {
  checks check;
  check_all(check, config, more);
  check.range("--nodes", options.nodes, 0, local_nodes_max,
              "more can join from other machines: `troupe train --listen` here, `troupe node --join` there");
  check.range("--data-parallel-size", options.data_parallel_size, 1, limits{}.microbatches_max);
  check.require(options.data_parallel_size <= config.schedule.lanes, "--data-parallel-size",
                std::to_string(options.data_parallel_size),
                std::to_string(config.schedule.lanes) + " (the number of lanes)",
                "choose fewer or raise --lanes: a replica works on whole lanes");
  check.range("--in-flight", options.in_flight, 1, limits{}.microbatches_max);
  check.range("--compute-threads", options.compute_threads, 0, threads_max,
              "0 chooses by the number of cores");
  check.one_of("--wait-policy", options.wait_policy, {"active", "passive"});
  check.range("message_delay_ms_max", options.message_delay_ms_max, 0, 60000);
  return check.result();
}

std::vector<std::string> warnings_of(const configuration& config) {
  auto out = routing_warnings(config);
  const configuration plain;
  const auto& data = config.data;
  const auto& o = config.optimizer;
  const auto idle = [&](bool changed, const std::string& flag, const std::string& with) {
    if (changed) out.push_back(flag + " changes nothing with " + with);
  };
  const bool clusters = data.gaussian_rows != plain.data.gaussian_rows
                        || data.gaussian_width != plain.data.gaussian_width
                        || data.gaussian_classes != plain.data.gaussian_classes;
  idle(clusters && data.name != "gaussian", "--gaussian-rows, -width or -classes", "--data " + data.name);
  idle(data.name == "gaussian" && !data.directory.empty(), "--data-dir", "--data gaussian");
  const bool adam = o.beta1 != plain.optimizer.beta1 || o.beta2 != plain.optimizer.beta2
                    || o.epsilon != plain.optimizer.epsilon;
  idle(adam && o.name == "sgd", "--beta1, --beta2 or --epsilon", "--optimizer sgd");
  idle(o.min_learning_rate != 0 && o.schedule == "constant", "--min-lr", "--lr-schedule constant");
  idle(o.clip_scope != plain.optimizer.clip_scope && o.clip_norm == 0, "--clip-scope", "--clip-norm 0");
  idle(config.schedule.max_steps > 0 && config.schedule.epochs != plain.schedule.epochs,
       "--epochs " + std::to_string(config.schedule.epochs),
       "--max-steps " + std::to_string(config.schedule.max_steps) + ", which ends the run");
  if (config.schedule.max_steps > 0 && o.warmup_steps > config.schedule.max_steps)
    out.push_back("--warmup-steps " + std::to_string(o.warmup_steps) + " is more than --max-steps "
                  + std::to_string(config.schedule.max_steps) + ": the learning rate never reaches --lr");
  return out;
}

expected<void> validate(const configuration& config) {
  return validate(config, extensions{});
}

expected<void> validate(const configuration& config, const run_options& options) {
  return validate(config, options, extensions{});
}

} // namespace troupe
