#include "launcher/option_group.hpp"
#include "launcher/options.hpp"
#include "model/configuration_routing.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace troupe::launcher {

// ---- the flags ------------------------------------------------------------------------------------------------------

namespace {

void add_router_rules(CLI::App& command, train_options& options) {
  option_group group(command, "Router");
  auto& router = options.config.model.router;
  auto& chosen = options.routing;
  group.text("--router", router.name, "NAME",
             "how rows choose experts: softmax | softmax_post | switch | sigmoid_bias | group_limited | "
             "noisy_top_k | gshard | sinkhorn | expert_choice | hash | task | dense | quantile "
             "(docs/routing.md)");
  group.number("--num-experts-per-token", chosen.experts_per_token,
               "experts that each row is sent to (top-k)", "by router: 2; switch, hash, task 1; dense all");
  group.toggle("--no-renormalise", chosen.no_renormalise,
               "softmax: do not scale the chosen gates to sum to 1");
  group.number("--router-scale", router.scale, "sigmoid_bias, group_limited: factor of the gates");
  group.number("--router-bias-update-rate", router.bias_update_rate,
               "sigmoid_bias, group_limited: step of the selection bias after each update");
  group.toggle("--router-bias-recentre", router.bias_recentre,
               "sigmoid_bias, group_limited: keep the sum of the selection bias");
  group.number("--router-groups", chosen.groups, "group_limited: equal groups of experts",
               "up to 8, by experts");
  group.number("--router-groups-kept", chosen.groups_kept, "group_limited: groups that a row may choose from",
               "half of them");
  group.text("--router-base", router.base, "NAME", "group_limited: sigmoid | softmax");
  group.text("--router-group-mask", router.group_mask, "NAME", "group_limited: neg_inf | zero");
  group.number("--router-noise-floor", router.noise_floor, "noisy_top_k: least size of the noise");
  group.text("--router-second", router.second, "NAME", "gshard: random | threshold | gumbel | all");
  group.number("--router-second-threshold", router.second_threshold,
               "gshard: gate from which threshold always keeps a second expert");
  group.number("--router-sinkhorn-tolerance", router.sinkhorn_tolerance, "sinkhorn: change at which it ends");
  group.number("--router-sinkhorn-epsilon", router.sinkhorn_epsilon, "sinkhorn: added to its denominators");
  group.number("--router-choice-capacity-factor", router.choice_capacity_factor,
               "expert_choice: experts per row in the mean");
  group.number("--router-hash-seed", router.hash_seed, "hash: which hash");
}

void add_losses(CLI::App& command, train_options& options) {
  option_group group(command, "Router losses");
  auto& chosen = options.routing;
  group.number("--router-aux-loss-coef", chosen.aux_loss_coefficient,
               "weight of the loss that balances the experts' load",
               "by router: 0.01; switch 0.2; 0 where the router balances by itself or, noisy_top_k, has "
               "losses of its own");
  group.number("--router-z-loss-coef", chosen.z_loss_coefficient,
               "weight of the loss that keeps the router's logits small", "0");
  group.texts("--router-loss", chosen.losses, "NAME=COEF",
              "one more loss, such as variance=0.1; may be repeated; =0 only measures it");
  group.number("--sequence-length", options.config.model.router.sequence_length,
               "loss sequence: consecutive rows of a microbatch that are one sequence; 0: none");
}

void add_capacity(CLI::App& command, train_options& options) {
  option_group group(command, "Capacity");
  auto& router = options.config.model.router;
  group.text("--capacity-policy", router.capacity_policy, "NAME",
             "who keeps a place in a full expert: none (no limit) | probs | token_major | choice_major | bpr "
             "| random");
  group.number("--capacity-factor", router.capacity_factor, "training: places over those of perfect balance");
  group.number("--capacity-factor-eval", router.capacity_factor_eval, "the same in evaluations");
  group.number("--capacity-minimum", router.capacity_minimum, "places that an expert has at least");
  group.toggle("--renormalise-after-drop", router.renormalise_after_drop,
               "scale the gates that are left to sum to 1");
}

} // namespace

void add_router_options(CLI::App& command, train_options& options) {
  add_router_rules(command, options);
  add_losses(command, options);
  add_capacity(command, options);
}

// ---- what they add up to --------------------------------------------------------------------------------------------

namespace {

std::string with_underscores(std::string name) {
  std::ranges::replace(name, '-', '_');
  return name;
}

/// Names may be written with dashes. A router of a node program's own keeps its name.
void normalise_names(router_options& router) {
  const auto& routers = standard_routers();
  if (const auto name = with_underscores(router.name); std::ranges::find(routers, name) != routers.end())
    router.name = name;
  router.group_mask = with_underscores(router.group_mask);
  router.capacity_policy = with_underscores(router.capacity_policy);
}

std::uint32_t usual_experts_per_token(const router_options& router, std::uint32_t experts) {
  if (router.name == "switch" || router.name == "hash" || router.name == "task") return 1;
  if (router.name == "gshard") return 2;
  if (router.name == "dense") return experts;
  const auto most = router.name == "quantile" ? std::max(2u, experts) - 1 : experts;
  return std::min(2u, most);
}

/// The most groups, up to 8, that leave two experts in each and k reachable ones in half of them.
std::uint32_t usual_groups(std::uint32_t experts, std::uint32_t k) {
  for (std::uint32_t groups : {8, 4, 2})
    if (experts % groups == 0 && experts / groups >= 2 && experts / 2 >= k) return groups;
  return 1;
}

void choose_rule(train_options& options) {
  auto& router = options.config.model.router;
  const auto& chosen = options.routing;
  const auto experts = options.config.model.experts;
  normalise_names(router);
  router.renormalise = !chosen.no_renormalise;
  router.experts_per_token = chosen.experts_per_token.value_or(usual_experts_per_token(router, experts));
  const bool grouped = router.name == "group_limited";
  router.groups = chosen.groups.value_or(grouped ? usual_groups(experts, router.experts_per_token) : 1);
  router.groups_kept = chosen.groups_kept.value_or(grouped ? std::max(1u, router.groups / 2) : 1);
}

void set_loss(std::vector<loss_option>& losses, const std::string& name, double coefficient) {
  const auto known = std::ranges::find(losses, name, &loss_option::name);
  if (known == losses.end())
    losses.push_back({name, coefficient});
  else
    known->coefficient = coefficient;
}

std::vector<loss_option> usual_losses(const model_options& model) {
  const auto& router = model.router;
  if (balances_by_itself(router)) return {};
  if (router.name == "switch") return {{"switch", 0.2}}; // with 0.1 an expert may idle for half a run
  if (router.name != "noisy_top_k") return {{"switch", 0.01}};
  std::vector<loss_option> out;
  if (model.experts > 1) out.push_back({"importance", 0.01});
  if (router.experts_per_token < model.experts) out.push_back({"load", 0.01});
  return out;
}

expected<loss_option> parse_loss(const std::string& text) {
  const auto equals = text.find('=');
  char* end = nullptr;
  const auto number = equals == std::string::npos ? std::string() : text.substr(equals + 1);
  const auto coefficient = std::strtod(number.c_str(), &end);
  if (number.empty() || *end != '\0')
    return fail(error_code::usage,
                "--router-loss: got '" + text + "', limit NAME=COEF, such as variance=0.1");
  return loss_option{with_underscores(text.substr(0, equals)), coefficient};
}

expected<void> choose_losses(train_options& options) {
  auto& losses = options.config.model.router.losses;
  const auto& chosen = options.routing;
  losses = usual_losses(options.config.model);
  if (chosen.aux_loss_coefficient) {
    set_loss(losses, "switch", *chosen.aux_loss_coefficient);
    if (*chosen.aux_loss_coefficient == 0) std::erase_if(losses, [](auto& l) { return l.name == "switch"; });
  }
  if (chosen.z_loss_coefficient.value_or(0) != 0) losses.push_back({"z", *chosen.z_loss_coefficient});
  std::vector<std::string> named;
  for (const auto& text : chosen.losses) {
    const auto loss = parse_loss(text);
    if (!loss) return tl::unexpected(loss.error());
    const bool twice = std::ranges::find(named, loss->name) != named.end()
                       || (loss->name == "switch" && chosen.aux_loss_coefficient)
                       || (loss->name == "z" && chosen.z_loss_coefficient);
    if (twice) return fail(error_code::usage, "--router-loss: got '" + loss->name + "' twice, limit once");
    named.push_back(loss->name);
    set_loss(losses, loss->name, loss->coefficient);
  }
  return {};
}

} // namespace

expected<void> finish_router(train_options& options) {
  choose_rule(options);
  return choose_losses(options);
}

error in_words_of(const router_choices& chosen, error problem) {
  const std::pair<std::string, bool> usual[] = {{"switch", chosen.aux_loss_coefficient.has_value()},
                                                {"z", chosen.z_loss_coefficient.has_value()}};
  for (const auto& [name, typed] : usual) {
    const auto flag = flag_of_loss(name) + ":";
    if (!typed && problem.text.starts_with(flag))
      problem.text.replace(0, flag.size(), "--router-loss " + name + ":");
  }
  return problem;
}

} // namespace troupe::launcher
