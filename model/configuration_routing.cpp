#include "model/configuration_routing.hpp"

#include "messages/limits.hpp"
#include "model/routing/losses.hpp"

#include <algorithm>
#include <set>
#include <sstream>

namespace troupe {

namespace {

constexpr std::int64_t shared_width_max = std::int64_t{1} << 20;

std::string text_of(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

bool is(const std::string& name, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* n) { return name == n; });
}

bool has_logits(const std::string& router) {
  return !is(router, {"hash", "task"});
}

bool has_selection_bias(const router_options& router) {
  return router.name == "sigmoid_bias" || (router.name == "group_limited" && router.base == "sigmoid");
}

// -- routers ------------------------------------------------------------------

void check_experts_per_token(checks& check, const model_options& model) {
  const auto& router = model.router;
  const auto k = router.experts_per_token;
  const std::string flag = "--num-experts-per-token";
  check.range(flag, k, 1, limits{}.experts_max);
  check.require(k <= model.experts, flag, std::to_string(k),
                std::to_string(model.experts) + " (the number of experts)",
                "choose fewer or raise --num-experts");
  const auto name = router.name;
  const auto exactly = [&](std::uint32_t wanted) {
    check.require(k == wanted, flag, std::to_string(k), std::to_string(wanted) + " with --router " + name,
                  "or choose another router");
  };
  if (is(name, {"switch", "hash", "task"})) exactly(1);
  if (name == "gshard") exactly(2);
  if (name == "dense") exactly(model.experts);
  if (name == "quantile")
    check.require(k < model.experts, flag, std::to_string(k),
                  std::to_string(model.experts - 1) + " with --router quantile", "raise --num-experts");
  const auto gate_is_one = (name == "softmax" && router.renormalise)
                           || is(name, {"softmax_post", "noisy_top_k"});
  check.require(k != 1 || model.experts == 1 || !gate_is_one, flag, "1 with --router " + name,
                "2 or more, because the one gate would always be 1 and the task could not train the router",
                "use --router switch");
}

void check_groups(checks& check, const model_options& model) {
  const auto& router = model.router;
  check.require(router.groups > 0 && model.experts % router.groups == 0, "--router-groups",
                std::to_string(router.groups),
                "a divisor of " + std::to_string(model.experts) + " (the number of experts)");
  check.range("--router-groups-kept", router.groups_kept, 1, router.groups,
              "it cannot keep more groups than there are");
  if (check.failed()) return;
  const auto reachable = std::uint64_t{router.groups_kept} * (model.experts / router.groups);
  check.require(router.experts_per_token <= reachable, "--num-experts-per-token",
                std::to_string(router.experts_per_token),
                std::to_string(reachable) + " (experts in the groups kept)", "raise --router-groups-kept");
}

void check_router(checks& check, const model_options& model) {
  const auto& router = model.router;
  check_experts_per_token(check, model);
  check.require(router.name != "task" || model.task == "classify", "--router",
                "task with model.task " + model.task, "another router, because it goes by the rows' labels");
  check.range("--router-scale", router.scale, 1 / router_options::factor_max, router_options::factor_max);
  check.range("--router-bias-update-rate", router.bias_update_rate, 0, router_options::factor_max);
  check.one_of("--router-base", router.base, {"sigmoid", "softmax"});
  check.one_of("--router-group-mask", router.group_mask, {"neg_inf", "zero"});
  check.range("--router-noise-floor", router.noise_floor, 0, router_options::factor_max);
  check.one_of("--router-second", router.second, {"random", "threshold", "gumbel", "all"});
  check.positive("--router-second-threshold", router.second_threshold);
  check.positive("--router-sinkhorn-tolerance", router.sinkhorn_tolerance);
  check.positive("--router-sinkhorn-epsilon", router.sinkhorn_epsilon);
  check.positive("--router-choice-capacity-factor", router.choice_capacity_factor);
  if (router.name == "group_limited") check_groups(check, model);
}

// -- losses -------------------------------------------------------------------

/// Losses that would train what a router does not have, or beside a rule that balances by itself.
void check_loss_has_effect(checks& check, const std::string& router, const loss_option& loss) {
  if (loss.coefficient == 0) return; // measured only
  const auto refuse_if = [&](bool bad, const std::string& why) {
    check.require(!bad, flag_of_loss(loss.name), text_of(loss.coefficient) + " with --router " + router,
                  "0, because " + why);
  };
  refuse_if(!has_logits(router), "it has no logits");
  refuse_if(loss.name != "z" && is(router, {"sinkhorn", "expert_choice", "quantile"}),
            "it balances the load by itself");
}

/// Losses that cannot be computed, whatever their coefficient.
void check_loss_is_defined(checks& check, const model_options& model, const loss_option& loss) {
  const auto& router = model.router;
  if (!has_logits(router.name)) return; // none is computed
  const auto refuse_if = [&](bool bad, const std::string& got, const std::string& limit) {
    check.require(!bad, flag_of_loss(loss.name), text_of(loss.coefficient) + " with " + got, limit,
                  "or leave the loss out");
  };
  refuse_if(loss.name == "load" && router.name != "noisy_top_k", "--router " + router.name,
            "noisy_top_k, which alone has the noise that it needs");
  refuse_if(is(loss.name, {"variance", "importance", "load", "tutel_load_importance"}) && model.experts < 2,
            "--num-experts " + std::to_string(model.experts), "2 or more, because it is a variance");
  refuse_if(loss.name == "load" && router.experts_per_token >= model.experts,
            "--num-experts-per-token " + std::to_string(router.experts_per_token),
            "fewer than --num-experts, because it compares with the best expert that is left out");
  refuse_if(loss.name == "sequence" && router.sequence_length == 0, "--sequence-length 0",
            "1 or more: every so many rows of a microbatch are a sequence");
}

void check_losses(checks& check, const model_options& model) {
  std::set<std::string> seen;
  for (const auto& loss : model.router.losses) {
    check.one_of("--router-loss", loss.name, standard_losses());
    check.require(seen.insert(loss.name).second, "--router-loss", "'" + loss.name + "' twice", "once");
    check.not_negative(flag_of_loss(loss.name), loss.coefficient);
    check_loss_has_effect(check, model.router.name, loss);
    check_loss_is_defined(check, model, loss);
  }
}

// -- capacity -----------------------------------------------------------------

void check_capacity(checks& check, const router_options& router, std::uint32_t experts) {
  const std::string flag = "--capacity-policy";
  const auto& policy = router.capacity_policy;
  check.one_of(flag, policy, {"none", "probs", "token_major", "choice_major", "bpr", "random"});
  const std::string remedy = "choose --capacity-policy none for no capacity";
  check.positive("--capacity-factor", router.capacity_factor, remedy);
  check.positive("--capacity-factor-eval", router.capacity_factor_eval, remedy);
  check.require(policy == "none" || router.name != "expert_choice", flag,
                policy + " with --router expert_choice",
                "none, because its experts choose as many rows as they have room for",
                "use --router-choice-capacity-factor");
  check.require(policy != "bpr" || has_logits(router.name), flag, "bpr with --router " + router.name,
                "a policy that needs no logits, because it has none", "use token_major");
  check.require(policy != "none" || !router.renormalise_after_drop, "--renormalise-after-drop",
                "it with --capacity-policy none", "a policy that drops");
  check.require(!router.renormalise_after_drop || router.experts_per_token != 1 || experts == 1
                  || !has_logits(router.name),
                "--renormalise-after-drop", "it with --num-experts-per-token 1",
                "2 or more experts per token, because the one gate would always be 1 and the task could not "
                "train the router",
                "leave it out");
}

// -- shared experts -----------------------------------------------------------

void check_shared(checks& check, const model_options& model) {
  const std::string flag = "--num-shared-experts";
  check.range(flag, model.shared_experts, 0, limits{}.experts_max);
  check.require(model.owners_per_layer() <= limits{}.experts_max, flag,
                std::to_string(model.shared_experts) + " with --num-experts " + std::to_string(model.experts),
                std::to_string(limits{}.experts_max) + " experts in all, the shared ones counted once");
  check.require(model.shared_experts == 0
                  || model.expert_hidden_size <= shared_width_max / std::int64_t{model.shared_experts},
                flag, std::to_string(model.shared_experts),
                std::to_string(shared_width_max) + " hidden numbers in all",
                "choose fewer or a smaller --expert-hidden-size");
  const auto some = "--num-shared-experts of at least 1";
  check.range("--shared-expert-hidden-size", model.shared_expert_hidden_size, 0, shared_width_max);
  check.require(model.shared_experts > 0 || model.shared_expert_hidden_size == 0,
                "--shared-expert-hidden-size", "it without a shared expert", some);
  check.require(model.shared_experts > 0 || !model.shared_expert_gate, "--shared-expert-gate",
                "it without a shared expert", some);
}

} // namespace

const std::vector<std::string>& standard_routers() {
  static const std::vector<std::string> names = {
    "softmax",  "softmax_post",  "switch", "sigmoid_bias", "group_limited", "noisy_top_k", "gshard",
    "sinkhorn", "expert_choice", "hash",   "quantile",     "task",          "dense"};
  return names;
}

const std::vector<std::string>& standard_losses() {
  static const std::vector<std::string> names = {
    "switch",  "first_choice",          "z",          "variance", "hf", "sequence",
    "nanomoe", "tutel_load_importance", "importance", "load"};
  return names;
}

std::string flag_of_loss(const std::string& name) {
  if (name == "switch") return "--router-aux-loss-coef";
  if (name == "z") return "--router-z-loss-coef";
  return "--router-loss " + name;
}

bool balances_by_itself(const router_options& router) {
  return is(router.name, {"sinkhorn", "expert_choice", "quantile", "hash", "task", "dense"})
         || has_selection_bias(router);
}

void check_routing(checks& check, const model_options& model) {
  check_router(check, model);
  check_losses(check, model);
  check_capacity(check, model.router, model.experts);
  check_shared(check, model);
}

// -- warnings -----------------------------------------------------------------

namespace {

/// An option that was given, where it is read, and under which flags that is.
struct router_option_use {
  const char* flag;
  bool changed;
  bool read;
  const char* readers;
};

std::vector<std::string> unread_options(const router_options& o, std::uint32_t experts) {
  const router_options plain;
  const bool grouped = o.name == "group_limited";
  const bool scaled = grouped || o.name == "sigmoid_bias";
  const bool biased = has_selection_bias(o);
  const bool gshard = o.name == "gshard";
  const bool sinkhorn = o.name == "sinkhorn";
  const bool choice = o.name == "expert_choice";
  const auto* scalers = "sigmoid_bias or group_limited";
  const auto* biases = "sigmoid_bias, or group_limited with --router-base sigmoid";
  const router_option_use all[] = {
    {"--num-experts-per-token", choice && o.experts_per_token != std::min(plain.experts_per_token, experts),
     !choice, "another router; --router-choice-capacity-factor sets its experts per row"},
    {"--no-renormalise", !o.renormalise, o.name == "softmax", "softmax"},
    {"--router-scale", o.scale != plain.scale, scaled, scalers},
    {"--router-bias-update-rate", o.bias_update_rate != plain.bias_update_rate, biased, biases},
    {"--router-bias-recentre", o.bias_recentre, biased, biases},
    {"--router-groups", o.groups != plain.groups, grouped, "group_limited"},
    {"--router-groups-kept", o.groups_kept != plain.groups_kept, grouped, "group_limited"},
    {"--router-base", o.base != plain.base, grouped, "group_limited"},
    {"--router-group-mask", o.group_mask != plain.group_mask, grouped, "group_limited"},
    {"--router-noise-floor", o.noise_floor != plain.noise_floor, o.name == "noisy_top_k", "noisy_top_k"},
    {"--router-second", o.second != plain.second, gshard, "gshard"},
    {"--router-second-threshold", o.second_threshold != plain.second_threshold,
     gshard && o.second == "threshold", "gshard and --router-second threshold"},
    {"--router-sinkhorn-tolerance", o.sinkhorn_tolerance != plain.sinkhorn_tolerance, sinkhorn, "sinkhorn"},
    {"--router-sinkhorn-epsilon", o.sinkhorn_epsilon != plain.sinkhorn_epsilon, sinkhorn, "sinkhorn"},
    {"--router-choice-capacity-factor", o.choice_capacity_factor != plain.choice_capacity_factor, choice,
     "expert_choice"},
    {"--router-hash-seed", o.hash_seed != plain.hash_seed, o.name == "hash", "hash"},
  };
  std::string with = " changes nothing with --router " + o.name;
  if (grouped && !biased) with += " and --router-base " + o.base;
  if (gshard && o.second != "threshold") with += " and --router-second " + o.second;
  std::vector<std::string> out;
  for (const auto& use : all)
    if (use.changed && !use.read) out.push_back(use.flag + with + ", only with " + use.readers);
  for (const auto& loss : o.losses)
    if (!has_logits(o.name))
      out.push_back("--router-loss " + loss.name + " measures nothing with --router " + o.name
                    + ", which has no logits; leave it out");
  return out;
}

/// The thresholds of quantile are the (rows · k / E + 1)-th largest scores: a place only if that is whole.
bool quantile_is_exact(const configuration& config) {
  const auto& schedule = config.schedule;
  const auto whole = [&](std::uint64_t rows) {
    return rows * config.model.router.experts_per_token % config.model.experts == 0;
  };
  const auto smallest = schedule.batch_size / schedule.num_microbatches;
  return whole(smallest) && (schedule.batch_size % schedule.num_microbatches == 0 || whole(smallest + 1));
}

/// Of sequences that no loss reads, or that no microbatch is long enough for.
void warn_of_sequences(const configuration& config, std::vector<std::string>& out) {
  const auto& router = config.model.router;
  if (router.sequence_length == 0) return;
  const auto& schedule = config.schedule;
  const auto length = "--sequence-length " + std::to_string(router.sequence_length);
  const auto rows = (schedule.batch_size + schedule.num_microbatches - 1) / schedule.num_microbatches;
  if (std::ranges::find(router.losses, "sequence", &loss_option::name) == router.losses.end())
    out.push_back(length + " changes nothing without --router-loss sequence=COEF");
  else if (router.sequence_length > rows)
    out.push_back(
      length + " is more than the " + std::to_string(rows)
      + " rows of a microbatch, each of which is one sequence; choose fewer or a larger --batch-size");
}

} // namespace

std::vector<std::string> routing_warnings(const configuration& config) {
  const auto& router = config.model.router;
  std::vector<std::string> out;
  if (const auto& names = standard_routers(); std::ranges::find(names, router.name) != names.end())
    out = unread_options(router, config.model.experts);
  if (has_selection_bias(router) && router.experts_per_token == 1 && config.model.experts > 1)
    out.push_back("--router " + router.name
                  + " with --num-experts-per-token 1: the selection bias alone is too slow to prevent a "
                    "collapse; choose 2 or more, or add --router-aux-loss-coef 0.1");
  if (router.name == "group_limited" && router.groups_kept == router.groups)
    out.push_back("--router group_limited keeps " + std::to_string(router.groups_kept) + " of "
                  + std::to_string(router.groups)
                  + " groups, which limits nothing; choose --router-groups and fewer --router-groups-kept");
  if (router.name == "quantile" && !quantile_is_exact(config))
    out.push_back("--router quantile balances exactly where rows of a microbatch times "
                  "--num-experts-per-token are a multiple of --num-experts: got "
                  + std::to_string(config.schedule.batch_size) + " rows in "
                  + std::to_string(config.schedule.num_microbatches) + " times "
                  + std::to_string(router.experts_per_token) + " with " + std::to_string(config.model.experts)
                  + " experts; choose another --batch-size");
  warn_of_sequences(config, out);
  if (const router_options plain; router.capacity_policy == "none"
                                  && (router.capacity_factor != plain.capacity_factor
                                      || router.capacity_factor_eval != plain.capacity_factor_eval
                                      || router.capacity_minimum != plain.capacity_minimum))
    out.push_back("capacities change nothing with --capacity-policy none; choose a policy that drops");
  if (router.capacity_policy != "none" && router.capacity_factor < 1)
    out.push_back("--capacity-factor " + text_of(router.capacity_factor)
                  + " drops rows even at perfect balance; choose 1 or more");
  return out;
}

} // namespace troupe
