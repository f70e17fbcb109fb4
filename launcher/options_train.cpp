#include "launcher/address.hpp"
#include "launcher/option_group.hpp"
#include "launcher/options.hpp"
#include "launcher/toml_config.hpp"
#include "model/extensions.hpp"

#include <cmath>
#include <cstdlib>

namespace troupe::launcher {

// ---- the flags ------------------------------------------------------------------------------------------------------

namespace {

void add_data_options(CLI::App& command, train_options& options) {
  option_group group(command, "Data");
  auto& data = options.config.data;
  group.text(
    "--data", data.name, "NAME",
    "what to learn: fashion-mnist | gaussian (synthetic clusters, needs no files) | tensors (rows of a "
    "safetensors file of your own)");
  group.text(
    "--data-dir", data.directory, "DIR",
    "where its files are, when not in the usual place (tensors: the file); each folder of fashion-mnist "
    "is kept unpacked in ~/.cache/troupe, 55 MB");
  group.number("--gaussian-rows", data.gaussian_rows,
               "gaussian: training rows; a quarter as many for the test");
  group.number("--gaussian-width", data.gaussian_width, "gaussian: numbers per row");
  group.number("--gaussian-classes", data.gaussian_classes, "gaussian: clusters, one per class");
}

void add_model_options(CLI::App& command, train_options& options) {
  option_group group(command, "Model");
  auto& model = options.config.model;
  group.number("--num-experts", model.experts, "experts of the MoE layer, each an actor of its own");
  group.text("--expert", model.expert_kind, "NAME",
             "kind of expert: mlp, or one that your node program adds");
  group.number("--expert-hidden-size", model.expert_hidden_size, "hidden width of an expert");
  group.text("--expert-activation", model.expert_activation, "NAME", "relu | silu | gelu | swiglu");
  group.toggle("--expert-bias,!--no-expert-bias", model.expert_bias,
               "give the experts' matrices a bias (they have one)");
  group.number("--num-shared-experts", model.shared_experts,
               "experts to which every row goes besides, as one network of that many times the width");
  group.number("--shared-expert-hidden-size", model.shared_expert_hidden_size,
               "hidden width of that network; 0: as many times that of an expert");
  group.toggle("--shared-expert-gate", model.shared_expert_gate,
               "weight its output with a learned gate from 0 to 1");
  group.text("--precision", model.precision, "NAME", "f32 | f64");
}

void add_training_options(CLI::App& command, train_options& options) {
  option_group group(command, "Training");
  auto& schedule = options.config.schedule;
  group.number("--epochs", schedule.epochs, "passes over the data");
  group.number("--max-steps", schedule.max_steps,
               "stop after this many steps, whatever --epochs says; 0: use --epochs");
  group.number("--batch-size", schedule.batch_size, "rows per step");
  group.number("--num-microbatches", schedule.num_microbatches, "parts that a step's rows are cut into");
  group.number("--lanes", schedule.lanes,
               "groups of microbatches whose gradients are added up together; part of the result");
  group.number("--seed", schedule.seed, "of initial weights and order of the data");
  group.number("--eval-interval", schedule.eval_interval_epochs,
               "test every so many epochs; 0: only at the end");
  group.toggle("--no-eval", options.no_evaluation, "do not test at the end");
}

void add_optimizer_options(CLI::App& command, train_options& options) {
  option_group group(command, "Optimizer");
  auto& optimizer = options.config.optimizer;
  group.text("--optimizer", optimizer.name, "NAME", "sgd | adam | adamw");
  group.number("--lr", optimizer.learning_rate, "learning rate");
  group.text("--lr-schedule", optimizer.schedule, "NAME",
             "constant | linear | cosine, down to --min-lr at the last step");
  group.number("--warmup-steps", optimizer.warmup_steps, "steps over which the rate rises from 0");
  group.number("--min-lr", optimizer.min_learning_rate, "learning rate at the end of a schedule");
  group.number("--momentum", optimizer.momentum, "sgd");
  group.number("--beta1", optimizer.beta1, "adam, adamw");
  group.number("--beta2", optimizer.beta2, "adam, adamw");
  group.number("--epsilon", optimizer.epsilon, "adam, adamw");
  group.number("--weight-decay", optimizer.weight_decay,
               "adamw: decoupled; sgd, adam: added to the gradient");
  group.number("--clip-norm", optimizer.clip_norm, "largest norm of the gradient; 0: no clipping");
  group.text("--clip-scope", optimizer.clip_scope, "NAME",
             "global (one norm over all) | local (each part its own)");
}

void add_run_options(CLI::App& command, train_options& options) {
  option_group group(command, "Run (changes the time it takes, never the weights)");
  group.number(
    "--nodes", options.run.nodes,
    "expert nodes to start on this machine, 64 at most (others can join from elsewhere: --listen); 0: "
    "everything in one process, or wait for one that joins");
  group.text("--listen", options.listen, "HOST:PORT",
             "let nodes on other machines join here (`troupe node --join`)");
  group.toggle("--insecure", options.insecure,
               "allow --listen to be reached from other machines, unencrypted");
  group.text("--run-id", options.run_id, "ID",
             "name of the run, which joining nodes may ask for; made up when missing");
  group.number("--data-parallel-size", options.run.data_parallel_size,
               "router replicas, each takes whole lanes");
  group.number("--in-flight", options.run.in_flight, "microbatches under way at once per replica");
  group.number("--compute-threads", options.run.compute_threads,
               "compute threads per process; 0: by cores and nodes");
  group.text("--wait-policy", options.run.wait_policy, "NAME", wait_policy_meaning);
  group.text("--node-program", options.node_program, "PATH",
             "program to run as nodes, such as one with experts of your own");
  group.number("--message-delay-ms", options.run.message_delay_ms_max, "testing: random delivery delays")
    ->group("");
  group.text("--slow-node", options.slow_node, "INDEX:FACTOR", "testing: a node that is slower")->group("");
  // Not of the Run group's promise, since it is part of the result, but where people look for threads.
  option_group numerics(command, "Numerics");
  numerics.number("--intra-op-threads", options.config.intra_op_threads,
                  "threads of one matrix product; part of the result");
}

void add_output_options(CLI::App& command, train_options& options) {
  option_group group(command, "Output");
  group.number("--log-interval", options.log_interval,
               "a line every so many steps when stdout is no terminal; 0: none");
  group.text("--metrics-file", options.metrics_file, "FILE",
             "write one JSON object per step: load, entropy, bytes, times; launcher/README.md explains the "
             "fields");
  group.text("--save", options.save, "DIR", "save the trained model there, for `troupe eval`");
  group.toggle("--print-digest", options.print_digest, "print the SHA-256 of the trained weights");
  group.text("--config", options.config_file, "FILE",
             "TOML with any of these options, such as: num-experts = 8; flags win, also over a switch: "
             "--print-digest=false");
  group.text("--bench-json", options.bench_json, "FILE", "testing: timings")->group("");
}

} // namespace

void add_options(CLI::App& command, train_options& options) {
  add_data_options(command, options);
  add_model_options(command, options);
  add_router_options(command, options);
  add_training_options(command, options);
  add_optimizer_options(command, options);
  add_run_options(command, options);
  add_output_options(command, options);
  command.footer(
    "Examples:\n"
    "  troupe train                                  FashionMNIST in one process, one epoch\n"
    "  troupe train --nodes 2 --epochs 5             a head and two expert nodes on this machine\n"
    "  troupe train --num-experts 8 --router switch  eight experts, each row visits one\n"
    "  troupe train --num-experts 8 --router sigmoid_bias --router-loss variance=0\n"
    "                                                balance without a loss, and a measure of it\n"
    "  troupe train --data gaussian --max-steps 200 --print-digest\n"
    "                                                no files needed; same digest however you spread it\n"
    "  troupe train --listen 127.0.0.1:4040          others may join: troupe node --join 127.0.0.1:4040\n"
    "  troupe train --config run.toml --lr 3e-4      options from a file, one of them overridden");
}

// ---- what they add up to --------------------------------------------------------------------------------------------

namespace {

/// With a node program of the user's own, names that only it knows must not be refused here: everything else
/// is checked with a standard part in their place.
expected<void> validate_all(const train_options& options) {
  const auto result = validate(options.config, options.run);
  if (result || options.node_program.empty()) return result;
  auto known = options.config;
  known.model.expert_kind = "mlp";
  known.model.router.name = "sigmoid_bias"; // the standard router with the fewest conditions of its own
  known.data.name = "gaussian";
  return validate(known, options.run) ? expected<void>() : result;
}

expected<void> check_listen(const train_options& options) {
  if (options.listen.empty()) return {};
  const auto where = parse_address("--listen", options.listen);
  if (!where) return tl::unexpected(where.error());
  if (!where->loopback() && !options.insecure)
    return fail(error_code::usage,
                "--listen: got " + options.listen
                  + ", limit loopback (127.0.0.1, ::1, localhost), because "
                    "traffic between machines is not encrypted yet; add --insecure if you trust the network");
  return {};
}

} // namespace

expected<void> finish(train_options& options) {
  if (const auto good = finish_router(options); !good) return good;
  options.config.schedule.evaluate_at_end = !options.no_evaluation;
  if (const auto good = validate_all(options); !good) {
    auto problem = in_words_of(options.routing, good.error());
    if (!options.config_file.empty()) problem.text += "; options come from " + options.config_file + ", too";
    return tl::unexpected(std::move(problem));
  }
  if (const auto good = check_listen(options); !good) return good;
  if (const auto slow = parse_slow_node(options.slow_node, options.run.nodes); !slow)
    return tl::unexpected(slow.error());
  return {};
}

expected<configuration> configuration_of_file(const std::string& path) {
  CLI::App command;
  train_options options;
  add_options(command, options);
  options.config_file = path;
  if (const auto applied = apply_toml(command, path); !applied) return tl::unexpected(applied.error());
  if (const auto good = finish(options); !good) return tl::unexpected(good.error());
  return options.config;
}

std::optional<option_kind> train_option_kind(const std::string& name) {
  CLI::App command;
  train_options options;
  add_options(command, options);
  const auto* option = command.get_option_no_throw("--" + name);
  if (option == nullptr) return {};
  return kind_of(*option);
}

expected<slow_node> parse_slow_node(const std::string& text, std::uint32_t nodes) {
  if (text.empty()) return slow_node{};
  const auto colon = text.find(':');
  const auto index = std::strtoul(text.c_str(), nullptr, 10);
  const auto factor = colon == std::string::npos ? 0 : std::strtod(text.c_str() + colon + 1, nullptr);
  if (index < 1 || index > nodes || !(factor >= 1))
    return fail(error_code::usage, "--slow-node: got '" + text
                                     + "', limit INDEX:FACTOR with an index from 1 to "
                                     + std::to_string(nodes) + " (--nodes) and a factor from 1 up");
  return slow_node{static_cast<std::uint32_t>(index), text.substr(colon + 1)};
}

} // namespace troupe::launcher
