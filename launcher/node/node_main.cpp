#include "launcher/node/node_main.hpp"

#include "launcher/node/clients.hpp"
#include "launcher/node/head.hpp"
#include "launcher/node/interruption.hpp"
#include "launcher/node/join.hpp"
#include "launcher/node/system.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <malloc.h>
#include <sys/resource.h>

namespace troupe {

namespace node {

namespace {

/// Everything that the command line can say, before it is understood.
struct arguments {
  std::string configuration;
  std::string run;
  std::string listen;
  std::string head;
  std::string task = "train";
  std::string drained;
  std::string waiting = "active";
  head_options for_head;
  join_options for_join;
};

void declare_head(CLI::App& app, arguments& a) {
  auto& h = a.for_head;
  app.add_option("--configuration", a.configuration, "what to train: the configuration as JSON")->required();
  app.add_option("--run", a.run, "how to carry it out: run options as JSON")->required();
  app.add_option("--listen", a.listen, "HOST:PORT or [IPv6]:PORT where any node may join");
  app.add_flag("--insecure", h.insecure, "allow other machines to connect without encryption");
  app.add_option("--run-id", h.run_id, "name of the run; drawn if absent");
  app.add_option("--task", a.task, "train or eval")->check(CLI::IsMember({"train", "eval"}));
  app.add_option("--model", h.model_directory, "directory of a saved model to start from");
  app.add_option("--save", h.save_directory, "directory for the trained model");
  app.add_option("--metrics-file", h.metrics_file, "JSON lines, one per step");
  app.add_option("--bench-json", h.bench_file, "rates and phases of the run");
  app.add_option("--predictions", h.predictions_file, "outputs per row of the evaluation, as safetensors");
  app.add_option("--log-interval", h.log_interval, "steps between events that are always sent");
  app.add_flag("--print-digest", h.print_digest, "send the digest of the final parameters");
  app.add_option("--events-fd", h.events_fd, "file descriptor for events");
}

void declare_join(CLI::App& app, arguments& a) {
  auto& j = a.for_join;
  app.add_option("--head", a.head, "HOST:PORT of the head")->required();
  app.add_option("--name", j.name, "name of this node");
  app.add_option("--run-id", j.run_id, "join this run only");
  app.add_option("--configuration", a.configuration, "join only a run with this configuration, as JSON");
  app.add_option("--compute-threads", j.compute_threads, "threads that compute")->check(CLI::Range(1, 1024));
  app.add_option("--wait-policy", a.waiting, "whether cores stay awake between messages")
    ->check([](const std::string& name) { return parse_wait_policy(name) ? "" : "active or passive"; });
  app.add_option("--slow", j.slowness, "testing: every job takes this many times as long")
    ->check(CLI::Range(1.0, 1000.0));
  app.add_option("--events-fd", j.events_fd, "file descriptor for events");
  app.add_flag("--insecure", j.insecure, "join a head on another machine without encryption");
}

int exit_code(const expected<void>& result, event_writer& events) {
  if (result) return 0;
  events.failure(result.error());
  return result.error().code == error_code::usage ? 2 : 1;
}

expected<void> head_command(arguments& a, const extensions& more, event_writer& events) {
  auto config = configuration_from_json(a.configuration);
  if (!config) return tl::unexpected(config.error());
  auto run = run_options_from_json(a.run);
  if (!run) return tl::unexpected(run.error());
  a.for_head.config = std::move(*config);
  a.for_head.run = *run;
  a.for_head.training = a.task == "train";
  if (!a.listen.empty()) {
    auto where = launcher::parse_address("--listen", a.listen);
    if (!where) return tl::unexpected(where.error());
    a.for_head.listen = *where;
    a.for_head.listens = true;
  }
  auto result = head(std::move(a.for_head), more, events).run();
  if (interrupted()) end_by_interruption();
  return result;
}

expected<void> join_command(arguments& a, const extensions& more, event_writer& events) {
  auto where = launcher::parse_address("--head", a.head);
  if (!where) return tl::unexpected(where.error());
  a.for_join.head = *where;
  a.for_join.waiting = parse_wait_policy(a.waiting).value_or(wait_policy::active);
  if (!a.configuration.empty()) {
    auto config = configuration_from_json(a.configuration);
    if (!config) return tl::unexpected(config.error());
    a.for_join.config = std::move(*config);
  }
  return run_node(a.for_join, more, events);
}

expected<void> status_command(const arguments& a) {
  auto where = launcher::parse_address("--head", a.head);
  if (!where) return tl::unexpected(where.error());
  auto answer = ask_status(*where);
  if (!answer) return tl::unexpected(answer.error());
  std::puts(answer->c_str());
  return {};
}

expected<void> drain_command(const arguments& a) {
  auto where = launcher::parse_address("--head", a.head);
  if (!where) return tl::unexpected(where.error());
  auto answer = ask_drain(*where, a.drained);
  if (!answer) return tl::unexpected(answer.error());
  std::printf("%s\n", nlohmann::json{{"node", *answer}, {"state", "draining"}}.dump().c_str());
  return {};
}

/// Buffers of a step are freed and asked for again thousands of times: give none back to the system.
void keep_memory() {
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  ::mallopt(M_TOP_PAD, 16 << 20);
}

/// Each connection takes a descriptor, and strangers keep theirs as long as they like.
void allow_many_connections() {
  rlimit bounds{};
  if (::getrlimit(RLIMIT_NOFILE, &bounds) != 0) return;
  bounds.rlim_cur = bounds.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &bounds);
}

} // namespace

} // namespace node

int node_main(int argc, char** argv, const extensions& more) {
  using namespace node;
  keep_memory();
  allow_many_connections();
  arguments a;
  CLI::App app{"One node of a troupe run. Usually started by the program troupe."};
  app.require_subcommand(1);
  auto* head = app.add_subcommand("head", "the process with router, optimizer, loader and coordinator");
  declare_head(*head, a);
  auto* join = app.add_subcommand("join", "a process with experts, which joins a head");
  declare_join(*join, a);
  auto* status = app.add_subcommand("status", "asks a head how its run stands; prints JSON");
  status->add_option("--head", a.head, "HOST:PORT of the head")->required();
  auto* drain = app.add_subcommand("drain", "asks a node to hand its experts over and leave");
  drain->add_option("--head", a.head, "HOST:PORT of the head")->required();
  drain->add_option("node", a.drained, "name or number of the node")->required();
  auto* fingerprint = app.add_subcommand("fingerprint",
                                         "prints the numerics fingerprint of this machine and build");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  event_writer events(head->parsed() ? a.for_head.events_fd : a.for_join.events_fd);
  if (fingerprint->parsed()) {
    const auto f = own_fingerprint(more.libraries);
    std::printf("%s  %s\n", f.hex.c_str(), f.text.c_str());
    return 0;
  }
  initialise_caf();
  if (head->parsed()) return exit_code(head_command(a, more, events), events);
  if (join->parsed()) return exit_code(join_command(a, more, events), events);
  if (status->parsed()) return exit_code(status_command(a), events);
  return exit_code(drain_command(a), events);
}

} // namespace troupe
