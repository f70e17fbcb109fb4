#pragma once

#include "model/configuration.hpp"

#include <nlohmann/json.hpp>

namespace troupe::node {

struct step_record;

/// The health of each layer's routing over one step, by the names of docs/routing.md: an array of objects.
nlohmann::ordered_json layer_reports(const step_record& r, const model_options& model);

} // namespace troupe::node
