#pragma once

#include "messages/error.hpp"
#include "model/routing/router.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// What a loss sees of one layer and microbatch. T tokens, E experts.
template <class Real>
struct loss_input {
  matrix_view<Real> logits;                   ///< z [T, E]
  matrix_view<Real> probabilities;            ///< softmax(z) [T, E]
  std::span<const Real> log_partition;        ///< [T]
  matrix_view<Real> noise_logits = {};        ///< x·Wnᵀ [T, E]: load
  std::span<const Real> normal = {};          ///< ε [T, E]; empty: no draw
  std::span<const std::uint64_t> counts = {}; ///< [E] counts of a plain top-`counts_k` of P over all tokens,
                                              ///< if known already
  std::int64_t counts_k = 0;
  const routing<Real>* chosen = nullptr; ///< what the router chose, before dropping: importance
};

/// What the losses add to. The router carries `gates` on to the logits with the task's gate gradient.
template <class Real>
struct loss_gradient : logit_gradient<Real> {
  std::vector<Real> gates; ///< [T, slots] of `loss_input::chosen`
};

/// Which loss, and with what: the options that its formula reads (§3).
struct loss_formula {
  std::string name; ///< switch | first_choice | hf | sequence | z | variance | nanomoe |
                    ///< tutel_load_importance | importance | load
  std::int64_t k = 1;
  router_needs::score_kind score = router_needs::score_kind::softmax; ///< switch, sequence
  std::vector<std::int64_t> rows = {}; ///< switch: consecutive block sizes; empty: one block
  std::int64_t sequence_length = 0;    ///< sequence: consecutive rows of each; the last may have fewer
  double noise = 1;                    ///< tutel_load_importance
  double noise_floor = 1e-2;           ///< load
};

/// A loss on the router with its hand-written gradient. Formulas, values at balance, sources:
/// docs/routing.md. Threading: const methods may run concurrently.
template <class Real>
class router_loss {
public:
  virtual ~router_loss() = default;

  /// The unscaled value. out += scale · ∂value/∂z (and ∂/∂raw, ∂/∂gates), unless `out` is null. Sums over
  /// tokens are fp64.
  virtual double evaluate(const loss_input<Real>& in, double scale, loss_gradient<Real>* out) const = 0;

  /// Sums over tokens behind importance and load [E]; empty for the others.
  virtual std::vector<double> sums(const loss_input<Real>&) const { return {}; }
};

/// Refuses unknown names and sizes that the formula does not allow, with one line.
template <class Real>
expected<std::unique_ptr<router_loss<Real>>> make_loss(const loss_formula& formula, std::int64_t experts);

/// The value at perfect balance: what a logged loss is compared with.
double value_at_balance(const loss_formula& formula, std::int64_t experts);

} // namespace troupe
