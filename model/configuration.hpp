#pragma once

#include "messages/error.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// Which data the run learns from.
struct data_options {
  std::string name = "fashion-mnist"; ///< fashion-mnist | gaussian | tensors
  std::string directory;              ///< where the files are; empty: the data set's usual place
  std::uint64_t gaussian_rows = 8192; ///< gaussian: training rows; a quarter as many test rows
  std::int64_t gaussian_width = 32;   ///< gaussian: input width
  std::int64_t gaussian_classes = 8;  ///< gaussian: clusters, one per class

  bool operator==(const data_options&) const = default;
};

/// A loss on the router and its coefficient, by the names of docs/routing.md.
struct loss_option {
  std::string name;
  double coefficient = 0;

  bool operator==(const loss_option&) const = default;
};

/// How tokens choose experts. Each router reads the options that it knows and refuses what cannot go
/// together.
struct router_options {
  static constexpr double factor_max = 1e30; ///< of factors and sizes: beyond it single precision overflows

  std::string name = "softmax";
  std::uint32_t experts_per_token = 2;
  bool renormalise = true;
  double scale = 1;                   ///< sigmoid_bias, group_limited
  double bias_update_rate = 1e-3;     ///< sigmoid_bias, group_limited with base sigmoid
  bool bias_recentre = false;         ///< they subtract the mean of the bias's change, which keeps its sum
  std::uint32_t groups = 1;           ///< group_limited: n_group
  std::uint32_t groups_kept = 1;      ///< group_limited: topk_group
  std::string base = "sigmoid";       ///< group_limited: sigmoid | softmax
  std::string group_mask = "neg_inf"; ///< group_limited: neg_inf | zero
  double noise_floor = 1e-2;          ///< noisy_top_k
  std::string second = "random";      ///< gshard: random | threshold | gumbel | all
  double second_threshold = 0.2;      ///< gshard
  double sinkhorn_tolerance = 1e-4;
  double sinkhorn_epsilon = 1e-8;
  double choice_capacity_factor = 2;    ///< expert_choice
  std::uint64_t hash_seed = 0;          ///< hash
  std::string capacity_policy = "none"; ///< none | probs | token_major | choice_major | bpr | random
  double capacity_factor = 1.25;        ///< training
  double capacity_factor_eval = 2.0;
  std::uint32_t capacity_minimum = 0;
  bool renormalise_after_drop = false;
  std::vector<loss_option> losses = {{"switch", 1e-2}};
  std::uint32_t sequence_length = 0; ///< loss `sequence`: rows of a microbatch that are one; 0: not given

  bool operator==(const router_options&) const = default;
};

struct model_options {
  std::string task = "classify"; ///< classify (cross-entropy) | mean_square (mean of y², for conformance)
  std::uint32_t experts = 4;
  std::int64_t expert_hidden_size = 64;
  std::string expert_kind = "mlp";        ///< mlp: W2·act(W1·x), or a name that the program added
  std::string expert_activation = "relu"; ///< relu | silu | gelu | swiglu (three matrices)
  bool expert_bias = true;
  /// Experts to which every row goes, as one network of that many times the hidden width; 0: none. It is the
  /// layer's owner number `experts`, and no expert that routers know of.
  std::uint32_t shared_experts = 0;
  std::int64_t shared_expert_hidden_size = 0; ///< of that network; 0: shared_experts · expert_hidden_size
  bool shared_expert_gate = false;            ///< its output is weighted by σ(x·w); otherwise by 1
  bool learn_inputs = false;     ///< the inputs themselves are parameters of the dense part (conformance,
                                 ///< embeddings)
  std::string precision = "f32"; ///< f32 | f64
  router_options router;

  /// Slots of a row at most: expert choice may give it to every expert. The shared expert takes one more.
  std::uint64_t slots_per_row_max() const {
    return std::uint64_t{router.name == "expert_choice" ? experts : router.experts_per_token}
           + (shared_experts > 0 ? 1 : 0);
  }

  /// Expert actors of a layer: the routed ones, and one that holds the shared ones.
  std::uint32_t owners_per_layer() const { return experts + (shared_experts > 0 ? 1 : 0); }

  /// Hidden width of expert owner number `expert`.
  std::int64_t hidden_size_of(std::uint32_t expert) const {
    if (expert != experts || shared_experts == 0) return expert_hidden_size;
    return shared_expert_hidden_size > 0 ? shared_expert_hidden_size : shared_experts * expert_hidden_size;
  }

  bool operator==(const model_options&) const = default;
};

struct optimizer_options {
  std::string name = "adam"; ///< sgd | adam | adamw
  double learning_rate = 2e-3;
  std::string schedule = "linear"; ///< constant | linear | cosine: to min_learning_rate over the run
  std::uint64_t warmup_steps = 0;  ///< linear from 0
  double min_learning_rate = 0;
  double momentum = 0; ///< sgd
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;           ///< adamw: decoupled; sgd, adam: L2
  double clip_norm = 0;              ///< global norm; 0: off
  std::string clip_scope = "global"; ///< global | local (router by its own norm, each expert by its own)

  bool operator==(const optimizer_options&) const = default;
};

struct schedule_options {
  std::uint64_t seed = 0;
  std::uint64_t batch_size = 64;
  std::uint32_t num_microbatches = 1;
  std::uint32_t lanes = 1;
  std::uint64_t epochs = 1; ///< used when max_steps is 0
  std::uint64_t max_steps = 0;
  std::uint64_t eval_batch_size = 1000;
  std::uint64_t eval_interval_epochs = 0; ///< 0: only at the end
  bool evaluate_at_end = true;

  bool operator==(const schedule_options&) const = default;
};

/// What the trained weights are a function of, together with the numerics of the build. Its hash is compared
/// at join.
struct configuration {
  data_options data;
  model_options model;
  optimizer_options optimizer;
  schedule_options schedule;
  std::uint32_t intra_op_threads = 1; ///< threads of one matrix product; one number per run

  bool operator==(const configuration&) const = default;
};

/// How a run is carried out. Changes the time it takes, never the weights.
struct run_options {
  std::uint32_t nodes = 0;                ///< local node processes to spawn; 0: all in one process
  std::uint32_t data_parallel_size = 1;   ///< router replicas
  std::uint32_t in_flight = 2;            ///< microbatches in flight per replica
  std::uint32_t compute_threads = 0;      ///< per process; 0: chosen from cores and nodes
  std::string wait_policy = "active";     ///< whether cores stay awake between messages
  std::uint32_t message_delay_ms_max = 0; ///< testing: random delivery delays

  bool operator==(const run_options&) const = default;
};

/// JSON with every field, in a fixed order.
std::string to_json(const configuration& config);
std::string to_json(const run_options& options);
expected<configuration> configuration_from_json(const std::string& text);
expected<run_options> run_options_from_json(const std::string& text);

/// SHA-256 of the canonical JSON, hex.
std::string hash_of(const configuration& config);

/// What makes the hashes of a run's configuration and of a node's differ: keys of the JSON with both values,
/// three at most, and how many more there are. Empty if no value differs.
std::string differences(const configuration& run, const configuration& given);

/// Refuses impossible values and combinations with one line that names the option, what was got and what is
/// allowed.
expected<void> validate(const configuration& config);
expected<void> validate(const configuration& config, const run_options& options);

/// What is allowed and probably not meant, one line each with the remedy; for a valid configuration.
std::vector<std::string> warnings_of(const configuration& config);

} // namespace troupe
