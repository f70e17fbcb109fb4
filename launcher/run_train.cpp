#include "launcher/address.hpp"
#include "launcher/commands.hpp"
#include "launcher/console.hpp"
#include "launcher/node_program.hpp"
#include "launcher/run_watcher.hpp"
#include "model/checkpoint/model_directory.hpp"

namespace troupe::launcher {

namespace {

/// Starts the head, then, once it listens, the local nodes; follows them to the end.
int follow(supervisor& children, const child_options& head, const watch_options& options) {
  const auto started = children.start(head);
  if (!started) return print_error(started.error());
  run_watcher watcher(children, options);
  children.run(watcher);
  return watcher.conclude();
}

/// Starts every local node once the head listens.
struct node_starter {
  supervisor& children;
  const configuration& config;
  const run_options& run;
  const std::string& program;
  slow_node slow;

  expected<void> operator()(const listening_event& head) const {
    local_node node;
    node.head = address{head.host, head.port}.from_here();
    node.run_id = head.run_id;
    node.configuration = to_json(config);
    node.compute_threads = threads_per_node(run);
    for (node.index = 1; node.index <= run.nodes; ++node.index) {
      node.slow = slow.index == node.index ? slow.factor : "";
      const auto started = children.start(node_of(node, program, config.intra_op_threads));
      if (!started) return tl::unexpected(started.error());
    }
    return {};
  }
};

} // namespace

int run_train(const train_options& options) {
  supervisor children;
  watch_options watch;
  watch.log_interval = options.log_interval;
  watch.local_nodes = options.run.nodes;
  watch.saves = !options.save.empty();
  if (!options.listen.empty())
    watch.invitation = std::string("troupe node --join {}") + (options.insecure ? " --insecure" : "");
  if (options.insecure && options.listen.empty())
    print_warning("--insecure changes nothing without --listen");
  if (const auto where = parse_address("--listen", options.listen); where && !where->loopback())
    watch.caution = "--listen: connections from other machines are not encrypted; use a network you trust";
  const auto slow = parse_slow_node(options.slow_node, options.run.nodes).value_or(slow_node{});
  watch.start_nodes = node_starter{children, options.config, options.run, options.node_program, slow};
  return follow(children, head_of(options), watch);
}

int run_eval(const eval_options& options) {
  const auto saved = model_directory::open(options.model);
  if (!saved) return print_error(saved.error());
  auto config = saved->description().config;
  if (!options.data.empty()) {
    config.data.name = options.data;
    config.data.directory.clear(); // of another data set
  }
  if (!options.data_directory.empty()) config.data.directory = options.data_directory;
  supervisor children;
  watch_options watch;
  watch.local_nodes = options.run.nodes;
  watch.start_nodes = node_starter{children, config, options.run, options.node_program, {}};
  return follow(children, head_of(options, config), watch);
}

} // namespace troupe::launcher
