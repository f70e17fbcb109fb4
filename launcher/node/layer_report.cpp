#include "launcher/node/layer_report.hpp"

#include "launcher/node/recorder.hpp"
#include "model/routing/health.hpp"
#include "model/routing/losses.hpp"

#include <algorithm>

namespace troupe::node {

namespace {

using json = nlohmann::ordered_json;

/// Each loss as measured, at perfect balance, and as it enters the total.
json losses_of(const std::map<std::string, double>& values, const model_options& model) {
  auto losses = json::object();
  for (const auto& loss : model.router.losses) {
    const auto value = values.find(loss.name);
    if (value == values.end()) continue;
    const auto balanced = loss_at_balance(loss.name, model);
    auto& entry = losses[loss.name] = {{"value", value->second},
                                       {"at_balance", balanced},
                                       {"coefficient", loss.coefficient},
                                       {"scaled", loss.coefficient * value->second}};
    // Not a better balance than the best: counts and probabilities disagree.
    const bool by_counts = loss.name == "switch" || loss.name == "first_choice" || loss.name == "hf"
                           || loss.name == "sequence";
    if (by_counts && value->second < balanced) entry["below_balance"] = true;
  }
  return losses;
}

} // namespace

std::string shown_balance_loss(const router_options& router) {
  const auto balances = [](const loss_option& l) { return l.name != "z"; };
  const auto counts = [&](const loss_option& l) { return balances(l) && l.coefficient > 0; };
  for (const auto& loss : router.losses)
    if (loss.name == "switch" && counts(loss)) return loss.name;
  auto first = std::ranges::find_if(router.losses, counts);
  if (first == router.losses.end()) first = std::ranges::find_if(router.losses, balances);
  return first == router.losses.end() ? std::string() : first->name;
}

double loss_at_balance(const std::string& name, const model_options& model) {
  const loss_formula formula{.name = name, .k = model.router.experts_per_token};
  return value_at_balance(formula, model.experts);
}

json layer_reports(const step_record& r, const model_options& model) {
  auto layers = json::array();
  for (std::size_t l = 0; l < r.expert_rows.size(); ++l) {
    const auto load = health_of(r.expert_rows[l]);
    json layer{{"expert_rows", r.expert_rows[l]},
               {"load_max_over_mean", load.load_max_over_mean},
               {"load_min_over_mean", load.load_min_over_mean},
               {"balancedness", load.balancedness},
               {"load_cv_population", load.load_cv_population},
               {"load_entropy_nats", load.load_entropy_nats},
               {"dead_experts", load.dead_experts}};
    for (const auto& [name, value] : r.values[l])
      layer[name == "entropy" ? "router_entropy_nats" : name] = value;
    layer["losses"] = losses_of(r.values[l], model);
    layers.push_back(std::move(layer));
  }
  return layers;
}

} // namespace troupe::node
