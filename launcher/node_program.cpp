#include "launcher/node_program.hpp"

#include "launcher/console.hpp"

#include <algorithm>
#include <filesystem>

#include <sched.h>

namespace troupe::launcher {

namespace {

/// Numerics that LibTorch and MKL read once, before main: one number of threads per run, and the same kernels
/// everywhere.
std::map<std::string, std::string> numerics_environment(std::uint32_t intra_op_threads) {
  const auto threads = std::to_string(intra_op_threads);
  return {{"OMP_NUM_THREADS", threads},
          {"MKL_NUM_THREADS", threads},
          {"MKL_DYNAMIC", "FALSE"},
          {"MKL_CBWR", "AVX2,STRICT"}};
}

void add(std::vector<std::string>& arguments, const std::string& flag, const std::string& value) {
  if (!value.empty()) arguments.insert(arguments.end(), {flag, value});
}

void add_if(std::vector<std::string>& arguments, bool condition, const std::string& flag) {
  if (condition) arguments.push_back(flag);
}

} // namespace

std::uint32_t core_count() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0
           ? static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set)))
           : 1;
}

std::string node_program_path(const std::string& chosen) {
  if (!chosen.empty()) return chosen;
  std::error_code failed;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", failed);
  return (failed ? std::filesystem::path("troupe-node") : own.parent_path() / "troupe-node").string();
}

child_options head_of(const train_options& options) {
  child_options head{"head",
                     node_program_path(options.node_program),
                     {"head"},
                     numerics_environment(options.config.intra_op_threads),
                     true};
  auto& arguments = head.arguments;
  add(arguments, "--task", "train");
  add(arguments, "--configuration", to_json(options.config));
  add(arguments, "--run", to_json(options.run));
  add(arguments, "--listen", options.listen);
  add_if(arguments, options.insecure, "--insecure");
  add(arguments, "--run-id", options.run_id);
  add(arguments, "--save", options.save);
  add_if(arguments, options.print_digest, "--print-digest");
  add(arguments, "--metrics-file", options.metrics_file);
  add(arguments, "--log-interval", std::to_string(options.log_interval));
  add(arguments, "--bench-json", options.bench_json);
  return head;
}

child_options head_of(const eval_options& options, const configuration& config) {
  child_options head{"head",
                     node_program_path(options.node_program),
                     {"head"},
                     numerics_environment(config.intra_op_threads),
                     true};
  auto& arguments = head.arguments;
  add(arguments, "--task", "eval");
  add(arguments, "--configuration", to_json(config));
  add(arguments, "--run", to_json(options.run));
  add(arguments, "--model", options.model);
  add(arguments, "--predictions", options.predictions);
  return head;
}

child_options node_of(const local_node& node, const std::string& program, std::uint32_t intra_op_threads) {
  const auto name = "node-" + std::to_string(node.index);
  child_options made{
    name, node_program_path(program), {"join"}, numerics_environment(intra_op_threads), true};
  auto& arguments = made.arguments;
  add(arguments, "--head", node.head.text());
  add(arguments, "--name", name);
  add(arguments, "--run-id", node.run_id);
  add(arguments, "--configuration", node.configuration);
  add(arguments, "--compute-threads", std::to_string(node.compute_threads));
  add(arguments, "--wait-policy", "passive"); // the head keeps the cores of this machine awake
  add(arguments, "--slow", node.slow);
  return made;
}

child_options node_of(const node_options& options, const std::string& configuration) {
  child_options made{options.name.empty() ? "node" : options.name,
                     node_program_path(options.node_program),
                     {"join"},
                     numerics_environment(1),
                     true};
  auto& arguments = made.arguments;
  add(arguments, "--head", options.join);
  add(arguments, "--name", options.name);
  add(arguments, "--run-id", options.run_id);
  add(arguments, "--configuration", configuration);
  add(arguments, "--compute-threads",
      std::to_string(options.compute_threads == 0 ? core_count() : options.compute_threads));
  add(arguments, "--wait-policy", options.wait_policy);
  add_if(arguments, options.insecure, "--insecure");
  add(arguments, "--slow", options.slow);
  return made;
}

child_options status_of(const query_options& options) {
  return {"status", node_program_path(options.node_program), {"status", "--head", options.head}, {}, false};
}

child_options drain_of(const query_options& options) {
  const auto program = node_program_path(options.node_program);
  return {"drain", program, {"drain", "--head", options.head, options.node}, {}, false};
}

expected<std::string> answer_of(const child& ended) {
  if (ended.status()->success()) return ended.output();
  const auto words = ended.last_words(1);
  const std::string mark = "error: ";
  auto text = words.empty() ? "[" + ended.name() + "] the process " + ended.status()->text() : words.front();
  if (const auto at = text.find(mark); at != std::string::npos) text.erase(0, at + mark.size());
  const bool usage = ended.status()->signal == 0 && ended.status()->code == exit_usage;
  return fail(usage ? error_code::usage : error_code::unavailable, text);
}

std::uint32_t threads_per_node(const run_options& run) {
  if (run.compute_threads > 0) return run.compute_threads;
  return std::max<std::uint32_t>(1, core_count() / std::max<std::uint32_t>(1, run.nodes));
}

} // namespace troupe::launcher
