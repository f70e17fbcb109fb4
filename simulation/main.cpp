#include "simulation/run.hpp"

#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdio>
#include <iostream>
#include <string>
#include <unistd.h>

namespace {

volatile std::sig_atomic_t interrupted = 0;

struct options {
  std::uint64_t seeds = 500;
  std::uint64_t first_seed = 1;
  std::string mutation;
  bool trace = false;
  bool keep_going = false;
  std::string wire = "drawn";
  troupe::simulation::scenario_wishes wishes;
};

template <class T>
void add_wish(CLI::App& app, const char* name, std::optional<T>& wish, T least, T most, const char* help) {
  app
    .add_option_function<T>(
      name, [&wish](const T& value) { wish = value; }, help)
    ->check(CLI::Range(least, most));
}

void describe(CLI::App& app, options& o) {
  app.description(
    "Trains a model that learns nothing on a cluster that does not exist: the real protocol cores, a "
    "network\n"
    "that loses, doubles, delays and re-orders, nodes that join and leave. Each run is decided by its seed;\n"
    "its parameters are compared with those of a plain loop.");
  app.add_option("--seeds", o.seeds, "How many runs")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--first-seed", o.first_seed, "Seed of the first run; the others follow")
    ->capture_default_str();
  app.add_option("--mutation", o.mutation, "Break the cores on purpose; the simulation should notice")
    ->check(CLI::IsMember(troupe::simulation::mutation_names()));
  app.add_flag("--trace", o.trace, "Print every message: time, from, to, name, step/microbatch/layer");
  app.add_flag("--keep-going", o.keep_going, "Do not stop at the first seed that fails");
  add_wish<std::uint16_t>(app, "--layers", o.wishes.layers, 1, 8,
                          "Instead of what the seed says: MoE layers");
  add_wish<std::uint32_t>(app, "--nodes", o.wishes.nodes, 0, 64,
                          "... nodes at the start; 0: all in the head");
  add_wish<std::uint32_t>(app, "--replicas", o.wishes.replicas, 1, 3, "... routers");
  add_wish<std::uint32_t>(app, "--in-flight", o.wishes.in_flight, 1, 64,
                          "... microbatches in flight per router");
  add_wish<std::uint64_t>(app, "--updates", o.wishes.updates, 1, 100000, "... training steps");
  app.add_option("--wire", o.wire, "... encode and decode messages between nodes")
    ->check(CLI::IsMember({"yes", "no", "drawn"}))
    ->capture_default_str();
  app.add_flag("--quiet-network", o.wishes.quiet_network, "Nothing gets lost, doubled or late");
  app.add_flag("--fixed-members", o.wishes.fixed_members, "Nobody joins or leaves");
}

std::string number(std::uint64_t x) {
  return std::to_string(x);
}

void show_progress(std::uint64_t done, const options& o, std::uint64_t failures) {
  if (isatty(STDERR_FILENO) == 0 || o.trace) return;
  std::fprintf(stderr, "\r%llu of %llu seeds, %llu failed%s", static_cast<unsigned long long>(done),
               static_cast<unsigned long long>(o.seeds), static_cast<unsigned long long>(failures),
               done == o.seeds ? "\n" : "");
}

/// What to type to see one run again.
std::string replay(int argc, char** argv, std::uint64_t seed) {
  std::string line = argv[0];
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--trace" || word == "--keep-going") continue;
    if (word == "--seeds" || word == "--first-seed") {
      ++i;
      continue;
    }
    if (word.starts_with("--seeds=") || word.starts_with("--first-seed=")) continue;
    line += " " + word;
  }
  return line + " --seeds 1 --first-seed " + number(seed) + " --trace";
}

int run(const options& o, int argc, char** argv) {
  std::uint64_t failures = 0;
  std::uint64_t steps = 0;
  std::uint64_t events = 0;
  std::uint64_t done = 0;
  for (; done < o.seeds && interrupted == 0; ++done) {
    const auto seed = o.first_seed + done;
    const auto scenario = troupe::simulation::draw_scenario(seed, o.wishes);
    if (o.trace) std::cout << "seed " << seed << ": " << to_string(scenario) << '\n';
    const auto result = simulate(scenario, o.trace ? &std::cout : nullptr);
    steps += result.steps;
    events += result.events;
    if (result.violation) {
      ++failures;
      std::cout << "seed " << seed << " failed at time " << result.at << ": " << *result.violation << "\n  "
                << to_string(scenario) << "\n  replay: " << replay(argc, argv, seed) << std::endl;
      if (!o.keep_going) break;
    }
    show_progress(done + 1, o, failures);
  }
  if (interrupted != 0) std::cout << "interrupted after " << done << " seeds\n";
  if (failures == 0)
    std::cout << done << " seeds passed: " << steps << " steps, " << events << " events\n";
  else
    std::cout << failures << " of " << (o.keep_going ? done : done + 1) << " seeds failed\n";
  return interrupted != 0 ? 130 : failures == 0 ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app;
  options o;
  describe(app, o);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (o.wire != "drawn") o.wishes.wire = o.wire == "yes";
  if (!o.mutation.empty()) o.wishes.defects = *troupe::simulation::mutation_named(o.mutation);
  std::signal(SIGINT, [](int) {
    if (interrupted != 0) std::_Exit(130);
    interrupted = 1;
  });
  return run(o, argc, argv);
}
