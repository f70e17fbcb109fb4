#include "model/configuration.hpp"

#include "model/checkpoint/strict_json.hpp"
#include "model/sha256.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <concepts>
#include <limits>
#include <type_traits>
#include <utility>

namespace troupe {

namespace {

using json = nlohmann::json;
using ordered_json = nlohmann::ordered_json;

// -- which fields there are, once for reading and writing ---------------------

/// `T` is `Options`, or const of it.
template <class T, class Options>
concept is = std::same_as<std::remove_const_t<T>, Options>;

void visit_fields(auto& v, is<data_options> auto& o) {
  v("name", o.name);
  v("directory", o.directory);
  v("gaussian_rows", o.gaussian_rows);
  v("gaussian_width", o.gaussian_width);
  v("gaussian_classes", o.gaussian_classes);
}

void visit_fields(auto& v, is<loss_option> auto& o) {
  v("name", o.name);
  v("coefficient", o.coefficient);
}

void visit_fields(auto& v, is<router_options> auto& o) {
  v("name", o.name);
  v("experts_per_token", o.experts_per_token);
  v("renormalise", o.renormalise);
  v("scale", o.scale);
  v("bias_update_rate", o.bias_update_rate);
  v("bias_recentre", o.bias_recentre);
  v("groups", o.groups);
  v("groups_kept", o.groups_kept);
  v("base", o.base);
  v("group_mask", o.group_mask);
  v("noise_floor", o.noise_floor);
  v("second", o.second);
  v("second_threshold", o.second_threshold);
  v("sinkhorn_tolerance", o.sinkhorn_tolerance);
  v("sinkhorn_epsilon", o.sinkhorn_epsilon);
  v("choice_capacity_factor", o.choice_capacity_factor);
  v("hash_seed", o.hash_seed);
  v("capacity_policy", o.capacity_policy);
  v("capacity_factor", o.capacity_factor);
  v("capacity_factor_eval", o.capacity_factor_eval);
  v("capacity_minimum", o.capacity_minimum);
  v("renormalise_after_drop", o.renormalise_after_drop);
  v("losses", o.losses);
  v("sequence_length", o.sequence_length);
}

void visit_fields(auto& v, is<model_options> auto& o) {
  v("task", o.task);
  v("experts", o.experts);
  v("expert_hidden_size", o.expert_hidden_size);
  v("expert_kind", o.expert_kind);
  v("expert_activation", o.expert_activation);
  v("expert_bias", o.expert_bias);
  v("shared_experts", o.shared_experts);
  v("shared_expert_hidden_size", o.shared_expert_hidden_size);
  v("shared_expert_gate", o.shared_expert_gate);
  v("learn_inputs", o.learn_inputs);
  v("precision", o.precision);
  v("router", o.router);
}

void visit_fields(auto& v, is<optimizer_options> auto& o) {
  v("name", o.name);
  v("learning_rate", o.learning_rate);
  v("schedule", o.schedule);
  v("warmup_steps", o.warmup_steps);
  v("min_learning_rate", o.min_learning_rate);
  v("momentum", o.momentum);
  v("beta1", o.beta1);
  v("beta2", o.beta2);
  v("epsilon", o.epsilon);
  v("weight_decay", o.weight_decay);
  v("clip_norm", o.clip_norm);
  v("clip_scope", o.clip_scope);
}

void visit_fields(auto& v, is<schedule_options> auto& o) {
  v("seed", o.seed);
  v("batch_size", o.batch_size);
  v("num_microbatches", o.num_microbatches);
  v("lanes", o.lanes);
  v("epochs", o.epochs);
  v("max_steps", o.max_steps);
  v("eval_batch_size", o.eval_batch_size);
  v("eval_interval_epochs", o.eval_interval_epochs);
  v("evaluate_at_end", o.evaluate_at_end);
}

void visit_fields(auto& v, is<configuration> auto& o) {
  v("data", o.data);
  v("model", o.model);
  v("optimizer", o.optimizer);
  v("schedule", o.schedule);
  v("intra_op_threads", o.intra_op_threads);
}

void visit_fields(auto& v, is<run_options> auto& o) {
  v("nodes", o.nodes);
  v("data_parallel_size", o.data_parallel_size);
  v("in_flight", o.in_flight);
  v("compute_threads", o.compute_threads);
  v("wait_policy", o.wait_policy);
  v("message_delay_ms_max", o.message_delay_ms_max);
}

// -- writing ------------------------------------------------------------------

template <class T>
concept simple = std::integral<T> || std::floating_point<T> || std::same_as<T, std::string>;

struct writer {
  ordered_json out = ordered_json::object();

  template <class T>
  static ordered_json value_of(const T& value) {
    if constexpr (simple<T>) {
      return value;
    } else {
      writer nested;
      visit_fields(nested, value);
      return nested.out;
    }
  }

  template <class T>
  void operator()(const char* key, const T& value) {
    out[key] = value_of(value);
  }

  void operator()(const char* key, const std::vector<loss_option>& values) {
    out[key] = ordered_json::array();
    for (const auto& value : values) out[key].push_back(value_of(value));
  }
};

template <class T>
std::string write(const T& value) {
  return writer::value_of(value).dump(-1, ' ', false, json::error_handler_t::replace);
}

// -- reading ------------------------------------------------------------------

std::string shown(const json& value) {
  auto text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

template <class T>
std::string wanted() {
  if constexpr (std::same_as<T, bool>)
    return "true or false";
  else if constexpr (std::same_as<T, std::string>)
    return "a string";
  else if constexpr (std::floating_point<T>)
    return "a number";
  else
    return "a whole number from " + std::to_string(std::numeric_limits<T>::min()) + " to "
           + std::to_string(std::numeric_limits<T>::max());
}

template <class T>
bool take(const json& from, T& to) {
  if constexpr (std::same_as<T, bool>) {
    if (!from.is_boolean()) return false;
    to = from.get<bool>();
  } else if constexpr (std::same_as<T, std::string>) {
    if (!from.is_string()) return false;
    to = from.get<std::string>();
  } else if constexpr (std::floating_point<T>) {
    if (!from.is_number()) return false;
    to = from.get<T>();
  } else {
    if (from.is_number_unsigned()) {
      if (!std::in_range<T>(from.get<std::uint64_t>())) return false;
    } else if (!from.is_number_integer() || !std::in_range<T>(from.get<std::int64_t>())) {
      return false;
    }
    to = from.get<T>();
  }
  return true;
}

/// Fills fields from a JSON object; counts what it used, so that unknown keys show. Keeps the first error.
struct reader {
  const json& in;
  std::string path;
  std::string problem;
  std::vector<std::string> known;

  template <class T>
  void read(const std::string& at, const json& from, T& to) {
    if constexpr (simple<T>) {
      if (!take(from, to)) refuse(at, shown(from), wanted<T>());
    } else {
      reader nested{from, at + ".", {}, {}};
      if (!from.is_object()) return refuse(at, shown(from), "an object");
      visit_fields(nested, to);
      nested.refuse_unknown();
      if (problem.empty()) problem = nested.problem;
    }
  }

  template <class T>
  void operator()(const char* key, T& to) {
    known.emplace_back(key);
    if (auto i = in.find(key); i != in.end()) read(path + key, *i, to);
  }

  void operator()(const char* key, std::vector<loss_option>& to) {
    known.emplace_back(key);
    auto i = in.find(key);
    if (i == in.end()) return;
    if (!i->is_array()) return refuse(path + key, shown(*i), "an array of {name, coefficient}");
    to.clear();
    for (std::size_t n = 0; n < i->size(); ++n)
      read(path + key + "[" + std::to_string(n) + "]", (*i)[n], to.emplace_back());
  }

  void refuse(const std::string& what, const std::string& got, const std::string& limit) {
    if (problem.empty()) problem = "[configuration] " + what + ": got " + got + ", limit " + limit;
  }

  void refuse_unknown() {
    for (const auto& item : in.items()) {
      if (std::find(known.begin(), known.end(), item.key()) != known.end()) continue;
      std::string names;
      for (const auto& name : known) names += (names.empty() ? "" : ", ") + name;
      return refuse(path + item.key(), "an unknown key", "one of " + names);
    }
  }
};

template <class T>
expected<T> parse(const std::string& text) {
  auto parsed = parse_strict_json(text, "configuration");
  if (!parsed) return tl::unexpected(parsed.error());
  if (!parsed->is_object())
    return fail(error_code::malformed, "[configuration] JSON: got " + shown(*parsed) + ", limit an object");
  T value;
  reader fields{*parsed, {}, {}, {}};
  visit_fields(fields, value);
  fields.refuse_unknown();
  if (!fields.problem.empty()) return fail(error_code::malformed, fields.problem);
  return value;
}

} // namespace

std::string to_json(const configuration& config) {
  return write(config);
}

std::string to_json(const run_options& options) {
  return write(options);
}

expected<configuration> configuration_from_json(const std::string& text) {
  return parse<configuration>(text);
}

expected<run_options> run_options_from_json(const std::string& text) {
  return parse<run_options>(text);
}

std::string hash_of(const configuration& config) {
  // Where the files lie on this machine is no part of what the weights depend on.
  auto portable = config;
  portable.data.directory.clear();
  return sha256_hex(to_json(portable));
}

} // namespace troupe
