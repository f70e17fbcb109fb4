#pragma once

#include "model/routing/capacity.hpp"
#include "model/routing/losses.hpp"
#include "model/routing/router.hpp"
#include "model/routing/scores.hpp"
#include "model/trunk.hpp"
#include "model/trunks/task_loss.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace troupe {

/// What the classifier keeps of one microbatch. T tokens; slots: the router's, and one more for a shared
/// expert.
template <class Real>
struct classifier_tape : trunk_tape {
  microbatch_context context;
  batch data;
  tensor dense; ///< flat parameters

  // forward
  tensor rows;                    ///< [T, width] the layer's input
  std::vector<Real> logits;       ///< z [T, E]
  std::vector<Real> noise_logits; ///< x·Wnᵀ [T, E]
  std::vector<Real> draws;        ///< of the router
  gate_scores<Real> scores;
  routing_input<Real> seen;                 ///< what the router saw: views of the above
  routing<Real> chosen;                     ///< before dropping
  std::optional<std::int64_t> capacity;     ///< C, with a dropping policy
  std::optional<survivors<Real>> surviving; ///< where slots were dropped or chosen slots are out of use
  std::int64_t slots = 0;
  tensor experts; ///< [T, slots] i32 as sent to the experts
  tensor gates;   ///< [T, slots]

  // combine and loss
  slot_rows outputs;
  std::vector<const Real*> slot_outputs; ///< [T·slots] rows within `outputs`
  std::vector<Real> y;                   ///< [T, out]
  task_result<Real> task;

  // backward
  bool gate_gradient_done = false;
  loss_gradient<Real> gradient;      ///< dL/dz, dL/draw, dL/dgates; from `loss` on of the losses alone
  std::vector<Real> shared_gradient; ///< [T] dL/d(x·shared.gate)
  std::vector<Real> input_gradient;  ///< [T, width]

  std::int64_t tokens() const { return rows.rows(); }
};

} // namespace troupe
