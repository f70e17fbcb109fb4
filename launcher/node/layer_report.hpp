#pragma once

#include "model/configuration.hpp"

#include <nlohmann/json.hpp>

#include <string>

namespace troupe::node {

struct step_record;

/// The balance loss that a log line shows: `switch` if it has a coefficient, else the first that has one,
/// else the first that is measured. Empty: none is (`z` is no balance loss).
std::string shown_balance_loss(const router_options& router);

/// Value of a loss of the model when every expert gets the same.
double loss_at_balance(const std::string& name, const model_options& model);

/// The health of each layer's routing over one step, by the names of docs/routing.md: an array of objects.
nlohmann::ordered_json layer_reports(const step_record& r, const model_options& model);

} // namespace troupe::node
