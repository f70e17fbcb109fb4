#pragma once

#include "model/configuration.hpp"
#include "model/extensions.hpp"
#include "model/factory.hpp"
#include "model/routing/capacity.hpp"
#include "model/routing/losses.hpp"
#include "model/routing/router.hpp"
#include "model/trunk.hpp"
#include "model/trunks/classifier_layout.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// A loss of the layer and its coefficient λ.
template <class Real>
struct weighted_loss {
  std::string name;
  double coefficient = 0;
  std::unique_ptr<router_loss<Real>> loss;
};

/// What the one-layer classifier is made of. Row widths: in → out (classes, or the input width for
/// mean_square).
template <class Real>
struct classifier_parts {
  enum class task_kind { classify, mean_square };

  task_kind task = task_kind::classify;
  std::int64_t experts = 0;
  std::int64_t width = 0;
  std::int64_t output_width = 0;
  std::int64_t input_rows = 0;    ///< > 0: the inputs are parameters, selected by the batch's ids
  std::vector<double> input_mean; ///< [width], what the router's inputs are less; empty: nothing
  bool input_gradient = false;    ///< dL/dx is wanted although the inputs are no parameters: something below
                                  ///< learns

  /// The shared expert is expert number `experts`: every row goes there through one more slot, after the
  /// router's, with gate 1 or σ(x·shared.gate).
  bool shared_expert = false;
  bool shared_gate = false;

  std::unique_ptr<router<Real>> routing_rule;
  std::vector<weighted_loss<Real>> losses;
  capacity_policy policy = capacity_policy::none;
  double capacity_factor = 1.25;
  double capacity_factor_eval = 2.0;
  std::int64_t capacity_minimum = 0;
  bool renormalise_after_drop = false;

  /// Random numbers for a microbatch: what the rule asks for, or the priorities of policy `random` [T,
  /// slots].
  std::function<std::vector<Real>(const microbatch_context&, const std::string& purpose, bool normal,
                                  std::size_t count)>
    draw;

  classifier_layout layout() const {
    return {routing_rule->needs(),
            {experts, width, input_rows, shared_gate, !input_mean.empty()},
            dtype_of<Real>()};
  }
};

/// The parts that a valid configuration asks for. Refuses, with one line, what only the rule itself can tell:
/// losses of what it does not have.
template <class Real>
expected<classifier_parts<Real>> make_classifier_parts(const configuration& config, const model_shape& widths,
                                                       const extensions& more);

} // namespace troupe
