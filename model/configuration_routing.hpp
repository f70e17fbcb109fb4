#pragma once

#include "model/checks.hpp"
#include "model/configuration.hpp"

#include <string>
#include <vector>

namespace troupe {

/// The routers and losses of this library, by the names that options take.
const std::vector<std::string>& standard_routers();
const std::vector<std::string>& standard_losses();

/// The flag that sets a loss's coefficient, by which refusals name it.
std::string flag_of_loss(const std::string& name);

/// True for routers that balance the load by a rule of their own, and so take no balance loss unless asked.
bool balances_by_itself(const router_options& router);

/// Router, losses, capacity and shared experts of a configuration: impossible values and combinations.
void check_routing(checks& check, const model_options& model);

/// The part of `warnings_of` that is about them.
std::vector<std::string> routing_warnings(const configuration& config);

} // namespace troupe
