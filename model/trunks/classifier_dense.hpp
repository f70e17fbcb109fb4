#pragma once

#include "messages/error.hpp"
#include "model/configuration.hpp"
#include "model/expert.hpp"
#include "model/extensions.hpp"
#include "model/factory.hpp"
#include "model/trunks/classifier_layout.hpp"

#include <cstdint>
#include <memory>
#include <span>

namespace troupe {

/// How the selection bias of the classifier is stepped.
struct bias_rule_options {
  router_needs::bias_rule rule = router_needs::bias_rule::none;
  double rate = 1e-3;
  bool recentre = false;
};

/// The dense part of the classifier: gate weights (and learned inputs) under the optimizer, the selection
/// bias under its own rule. Parameters are named as in `classifier_layout`; gates start uniform in ±1/√width,
/// keyed by (seed, layer, name), learned inputs and the bias at 0. `input_mean` [width] where the layout has
/// it.
template <class Real>
std::unique_ptr<dense_module>
make_classifier_dense(const classifier_layout& layout, const optimizer_options& optimizer,
                      bias_rule_options bias, std::span<const double> input_mean, std::uint64_t seed,
                      std::uint16_t stage);

expected<std::unique_ptr<dense_module>>
make_classifier_dense(const configuration& config, const model_shape& widths, const extensions& more);

} // namespace troupe
