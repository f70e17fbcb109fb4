#include "launcher/address.hpp"
#include "launcher/option_group.hpp"
#include "launcher/options.hpp"

namespace troupe::launcher {

namespace {

const std::string node_program_meaning = "program to run as nodes, such as one with experts of your own";

expected<void> check_address(const std::string& option, const std::string& text) {
  const auto address = parse_address(option, text);
  if (!address) return tl::unexpected(address.error());
  if (address->port == 0)
    return fail(error_code::usage, option + ": got '" + text
                                     + "', limit a port from 1 to 65535; the head prints it at its start");
  return {};
}

} // namespace

void add_options(CLI::App& command, eval_options& options) {
  option_group group(command, "Model and data");
  group.text("--model", options.model, "DIR", "what `troupe train --save DIR` wrote")->required();
  group.text(
    "--data", options.data, "NAME",
    "data set to test on (fashion-mnist | gaussian | tensors); the one it was trained on when missing");
  group.text("--data-dir", options.data_directory, "DIR",
             "where the data's files are, when not in the usual place (`troupe train --help`)");
  group.text("--predictions", options.predictions, "FILE",
             "write the outputs of each test row there (safetensors)");
  option_group run(command, "Run");
  run.number("--nodes", options.run.nodes,
             "expert nodes to start on this machine, 64 at most; 0: everything in one process");
  run.number("--compute-threads", options.run.compute_threads,
             "compute threads per process; 0: by cores and nodes");
  run.text("--wait-policy", options.run.wait_policy, "NAME", wait_policy_meaning);
  run.text("--node-program", options.node_program, "PATH", node_program_meaning);
  command.footer("Examples:\n"
                 "  troupe eval --model trained                   test accuracy and the load of each expert\n"
                 "  troupe eval --model trained --nodes 3         the same, from another number of nodes "
                 "than in training\n"
                 "  troupe eval --model trained --predictions outputs.safetensors");
}

void add_options(CLI::App& command, node_options& options) {
  option_group group(command, "Joining");
  group.text("--join", options.join, "HOST:PORT", "where the head listens")->required();
  group
    .text("--name", options.name, "NAME", "what people call this node, in `troupe status` and `troupe drain`")
    ->default_str("node-1, node-2, ..., whichever the head has free");
  group.text("--run-id", options.run_id, "ID", "join only this run");
  group.text("--config", options.config_file, "FILE",
             "join only if the run's configuration is the one of this TOML file");
  group.number("--compute-threads", options.compute_threads, "compute threads; 0: by the number of cores");
  group.text("--wait-policy", options.wait_policy, "NAME", wait_policy_meaning);
  group.toggle("--insecure", options.insecure, "join over an unencrypted network");
  group.text("--node-program", options.node_program, "PATH", node_program_meaning);
  group.text("--slow", options.slow, "FACTOR", "testing: be slower")->group("");
  command.footer(
    "Examples:\n"
    "  troupe train --listen 127.0.0.1:4040 --epochs 20        the head, in one terminal\n"
    "  troupe node --join 127.0.0.1:4040 --name second         a node, in another: takes its "
    "share of the experts\n"
    "  troupe drain second --head 127.0.0.1:4040               and gives them back\n\n"
    "Ctrl-C (or SIGTERM) does the same as `troupe drain`: the run goes on. A second Ctrl-C leaves at "
    "once,\nand the run ends, because the experts' state is gone.");
}

void add_options(CLI::App& command, ablate_options& options) {
  option_group group(command, "Options");
  group.text("matrix", options.matrix, "MATRIX.toml", "what to compare")->required();
  group.text(
    "--out", options.out, "DIR",
    "folder of results, new or of an earlier start; the matrix's name and -ablation, here, when missing");
  group.number("--jobs", options.jobs,
               "cells that run at once, the cores divided among them; 0: as many as fit");
  group.toggle("--list", options.list, "show the cells and end");
  group.text("--node-program", options.node_program, "PATH", node_program_meaning);
  command.footer(
    "A matrix is a TOML file. Its keys are options of `troupe train`, without dashes; every\n"
    "combination of the lists under [vary] is a cell, a training run of its own:\n\n"
    "  # routers.toml\n"
    "  data = \"fashion-mnist\"\n"
    "  epochs = 3\n"
    "  [vary]\n"
    "  router = [\"softmax\", \"sigmoid_bias\", { router = \"switch\", router-aux-loss-coef = 0.1 }]\n"
    "  num-experts = [4, 8]\n"
    "  seed = [0, 1, 2]\n"
    "  [[exclude]]                 # leave out combinations that have all of these\n"
    "  router = \"softmax\"\n"
    "  num-experts = 4\n"
    "  [[include]]                 # add one, for every seed\n"
    "  router = \"dense\"\n\n"
    "A table in a list sets several options together; label = \"...\" names it. Cells that differ in\n"
    "their seed only are one group: mean and standard deviation. A combination that no run can have\n"
    "is left out and listed with the reason; a name or value that nothing can be combined with is an\n"
    "error.\n\n"
    "Results: report.html (opens offline), groups.csv, cells.csv, and a file per finished cell. The\n"
    "same command goes on where it was stopped; failed cells are tried again.\n\n"
    "Examples:\n"
    "  troupe ablate routers.toml                    every cell, one per core at a time\n"
    "  troupe ablate routers.toml --list             what would run\n"
    "  troupe ablate routers.toml --jobs 2 --out results");
}

void add_status_options(CLI::App& command, query_options& options) {
  option_group group(command, "Options");
  group.text("head", options.head, "HOST:PORT", "where the head listens")->required();
  group.toggle("--json", options.json, "print JSON for programs instead of tables");
  group.text("--node-program", options.node_program, "PATH", node_program_meaning);
  command.footer("Example:\n  troupe status 127.0.0.1:4040");
}

void add_drain_options(CLI::App& command, query_options& options) {
  option_group group(command, "Options");
  group.text("node", options.node, "NODE", "name or number of the node, as `troupe status` shows them")
    ->required();
  group.text("--head", options.head, "HOST:PORT", "where the head listens")->required();
  group.text("--node-program", options.node_program, "PATH", node_program_meaning);
  command.footer(
    "Example:\n  troupe drain node-2 --head 127.0.0.1:4040      node-2 hands its experts over and ends");
}

// ---- checks ---------------------------------------------------------------------------------------------------------

expected<void> finish(eval_options& options) {
  return validate(configuration{}, options.run);
}

expected<void> finish(node_options& options) {
  run_options run; // checked like those of a run
  run.compute_threads = options.compute_threads;
  run.wait_policy = options.wait_policy;
  if (auto ok = validate(configuration{}, run); !ok) return ok;
  if (!options.name.empty() && options.name.find_first_not_of("0123456789") == std::string::npos)
    return fail(error_code::usage,
                "--name: got " + options.name
                  + ", limit a name that is no number, since `troupe drain` takes a node's number too");
  if (auto ok = check_address("--join", options.join); !ok) return ok;
  if (const auto where = parse_address("--join", options.join);
      where && !where->loopback() && !options.insecure)
    return fail(error_code::usage,
                "--join: got " + options.join
                  + ", limit an address of this machine: traffic between machines is not encrypted yet; add "
                    "--insecure if you trust the network");
  return {};
}

expected<void> finish(ablate_options& options) {
  constexpr std::uint32_t jobs_max = 1024;
  if (options.jobs > jobs_max)
    return fail(error_code::usage,
                "--jobs: got " + std::to_string(options.jobs) + ", limit " + std::to_string(jobs_max));
  return {};
}

expected<void> finish(query_options& options) {
  return check_address(options.node.empty() ? "address of the head" : "--head", options.head);
}

} // namespace troupe::launcher
