#pragma once

#include "messages/error.hpp"
#include "model/configuration.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
} // namespace CLI

/// What each command takes. The structs are filled by CLI11 and, for `--config`, from TOML; finish() turns
/// the rest into a configuration and refuses what cannot be.
namespace troupe::launcher {

enum class option_kind;

/// What the user chose of the router; where nothing was chosen, finish() takes what goes with the router.
struct router_choices {
  std::optional<std::uint32_t> experts_per_token;
  std::optional<std::uint32_t> groups;
  std::optional<std::uint32_t> groups_kept;
  std::optional<double> aux_loss_coefficient;
  std::optional<double> z_loss_coefficient;
  std::vector<std::string> losses; ///< NAME=COEF
  bool no_renormalise = false;
};

/// `troupe train`
struct train_options {
  configuration config;
  run_options run;
  router_choices routing;
  bool no_evaluation = false;
  std::string listen; ///< HOST:PORT; empty: nobody from outside may join
  bool insecure = false;
  std::string run_id;
  bool print_digest = false;
  std::uint64_t log_interval = 100;
  std::string metrics_file;
  std::string save;
  std::string config_file;
  std::string node_program;
  std::string bench_json; ///< testing
  std::string slow_node;  ///< testing: INDEX:FACTOR
};

/// `troupe eval`
struct eval_options {
  std::string model;
  std::string data; ///< empty: the data the model was trained on
  std::string data_directory;
  std::string predictions;
  run_options run;
  std::string node_program;
};

/// `troupe node`
struct node_options {
  std::string join; ///< HOST:PORT
  std::string name;
  std::string run_id;
  std::string config_file;
  std::uint32_t compute_threads = 0;
  std::string wait_policy = "active";
  bool insecure = false;
  std::string slow; ///< testing: FACTOR
  std::string node_program;
};

/// `troupe status` and `troupe drain`
struct query_options {
  std::string head; ///< HOST:PORT
  std::string node; ///< drain
  bool json = false;
  std::string node_program;
};

/// `troupe ablate`
struct ablate_options {
  std::string matrix; ///< TOML file
  std::string out;    ///< folder of results; empty: the matrix's name + "-ablation", here
  std::uint32_t jobs = 0;
  bool list = false;
  std::string node_program;
};

/// Of the option that several commands have.
inline constexpr const char* wait_policy_meaning =
  "how cores wait for messages: active (awake while a run goes on, if /dev/cpu_dma_latency may be written) "
  "| passive (asleep)";

void add_options(CLI::App& command, train_options& options);
void add_router_options(CLI::App& command, train_options& options); ///< a part of the one above
void add_options(CLI::App& command, eval_options& options);
void add_options(CLI::App& command, node_options& options);
void add_options(CLI::App& command, ablate_options& options);
void add_status_options(CLI::App& command, query_options& options);
void add_drain_options(CLI::App& command, query_options& options);

/// Completes the configuration and checks everything that needs no data, file or network. All errors:
/// `usage`. With a node program of the user's own, names of experts, routers and data sets that are not known
/// here are left to it.
expected<void> finish(train_options& options);
expected<void> finish_router(train_options& options); ///< a part of the one above: no checks of values
/// A refusal of `validate` with a loss by the flag that was typed: --router-loss sets the common ones, too.
error in_words_of(const router_choices& chosen, error problem);
expected<void> finish(eval_options& options);
expected<void> finish(node_options& options);
expected<void> finish(ablate_options& options);
expected<void> finish(query_options& options);

/// The configuration that `troupe train --config FILE` would run.
expected<configuration> configuration_of_file(const std::string& path);

/// What the option of `troupe train` with that name, without dashes, takes; none when there is no such
/// option.
std::optional<option_kind> train_option_kind(const std::string& name);

/// INDEX:FACTOR of --slow-node; empty text: index 0.
struct slow_node {
  std::uint32_t index = 0; ///< 1-based; 0: none
  std::string factor;
};
expected<slow_node> parse_slow_node(const std::string& text, std::uint32_t nodes);

} // namespace troupe::launcher
