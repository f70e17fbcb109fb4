#pragma once

#include "messages/report.hpp"
#include "messages/tensor.hpp"
#include "messages/work.hpp"
#include "model/parallel.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace troupe {

/// Which microbatch a router works on, and its share of the step's loss.
struct microbatch_context {
  std::uint64_t step = 0;
  std::uint64_t ordinal = 0; ///< update or evaluation index: keys the random draws together with the
                             ///< microbatch
  std::uint32_t microbatch = 0;
  bool training = true;
  double share = 1; ///< T_mb / T: everything sent backward is scaled by it, nobody divides later
};

/// What a router keeps of one microbatch: activations at the stages' borders. Opaque to the protocol.
class trunk_tape {
public:
  virtual ~trunk_tape() = default;
};

/// Where a MoE layer's tokens go.
struct routed {
  tensor rows;    ///< [T, width] u8, f32 or f64: the layer's input
  tensor experts; ///< [T, k] i32, slots best first; -1: slot not in use (dropped, or fewer than k chosen)
};

/// The outputs of one MoE layer, as the experts returned them.
struct slot_rows {
  std::vector<tensor> parts; ///< by expert: [n_e, out]
  tensor positions;          ///< [T, k] i32: row within the part of the slot's expert; -1 for unused slots
};

/// What goes back to the experts of one layer.
struct output_gradient {
  tensor rows;  ///< [T, out] dL/dy
  tensor gates; ///< [T, k]
};

/// Everything a router computes between the experts: trunk stages, gates, combine, loss, and their gradients.
/// The model is cut into stages at its MoE layers: stage 0, layer 0, stage 1, layer 1, ..., last stage with
/// the loss.
///
/// Calls for one tape, forward: begin, (forward(l), combine(l)) for l = 0 … layers-1, loss.
/// Backward: backward(l), [input_gradient(l)] for l = layers-1 … 0, then dense_gradient.
/// Threading: calls for one tape are made one at a time; different tapes may run at the same time.
class trunk_module {
public:
  virtual ~trunk_module() = default;

  virtual std::uint16_t layers() const = 0;

  /// Called once, before everything else: how to share long computations with other threads. Never shows in
  /// results.
  virtual void share_work(parallel_for) {}

  /// Rough cost of one row in `forward`, to decide where a job runs. Never shows in results.
  virtual double flops_per_row() const = 0;

  /// True if the layer's input has a gradient that somebody needs (a stage below it learns).
  virtual bool input_gradient_wanted(std::uint16_t layer) const = 0;

  /// `dense` holds the stage parameters (`dense_module::flat`), which this microbatch keeps to its end.
  virtual std::unique_ptr<trunk_tape> begin(const microbatch_context& context, const batch& data,
                                            const tensor& dense) = 0;

  /// Stage `layer` and its gate.
  virtual routed forward(trunk_tape& tape, std::uint16_t layer) = 0;

  /// y_t = Σ_slots gate · row, in slot order, fp32 or wider.
  virtual void combine(trunk_tape& tape, std::uint16_t layer, slot_rows outputs) = 0;

  /// Last stage: task loss, and the report of the microbatch.
  virtual microbatch_report loss(trunk_tape& tape) = 0;

  /// What the last stage puts out, [T, out], after `loss`: for predictions. Absent: this trunk does not tell.
  virtual tensor outputs(const trunk_tape&) const { return {}; }

  /// dL/dy of layer `layer`, scaled by the microbatch's share.
  virtual output_gradient backward(trunk_tape& tape, std::uint16_t layer) = 0;

  /// Folds the experts' dL/dx (slots ascending) with the gate path. Only called where
  /// `input_gradient_wanted`.
  virtual void input_gradient(trunk_tape& tape, std::uint16_t layer, slot_rows gradients) = 0;

  /// Gradient of the dense parameters over this microbatch, in their flat layout.
  virtual tensor dense_gradient(trunk_tape& tape) = 0;

  /// into ← into + term, element-wise, in place: the fold over the microbatches of a lane.
  virtual void fold(tensor& into, const tensor& term) = 0;
};

} // namespace troupe
