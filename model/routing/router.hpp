#pragma once

#include "messages/error.hpp"
#include "model/configuration.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// Row-major matrix view, [rows, columns].
template <class Real>
struct matrix_view {
  const Real* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;

  std::span<const Real> row(std::int64_t i) const {
    return {data + i * columns, static_cast<std::size_t>(columns)};
  }
};

/// What a router asks of the trunk, and how the losses see it.
struct router_needs {
  enum class id_kind { none, token, label };
  enum class draw_kind { none, uniform_token, uniform_logit, normal_logit }; ///< [T], [T, E], [T, E]
  enum class bias_rule { none, balance, quantile };
  enum class score_kind { softmax, sigmoid };

  std::int64_t slots = 1;   ///< k, with which the losses count
  bool gate = true;         ///< has a weight Wg, and so logits
  bool noise_gate = false;  ///< has a weight Wn, and so noise logits
  bool plain_top_k = false; ///< `routing::counts` are those of a plain top-k of the unbiased scores
  id_kind ids = id_kind::none;
  draw_kind draws = draw_kind::none;      ///< only drawn in training
  bias_rule bias = bias_rule::none;       ///< balance: §2.2 from counts; quantile: §2.10 from thresholds
  score_kind score = score_kind::softmax; ///< of the balance losses
};

/// What a router sees of one microbatch. T tokens, E experts.
template <class Real>
struct routing_input {
  matrix_view<Real> logits; ///< z [T, E], finite; without data for routers without a gate (rows and columns
                            ///< are set)
  matrix_view<Real> probabilities;     ///< softmax(z) [T, E]
  std::span<const Real> log_partition; ///< ln Σ exp z [T]
  matrix_view<Real> noise_logits;      ///< x·Wnᵀ [T, E], if `noise_gate`
  std::span<const Real> bias;          ///< [E], if `bias`
  std::span<const std::int64_t> ids;   ///< [T], if `ids`
  std::span<const Real> draws;         ///< what `draws` asked for, row-major; empty outside training
  bool training = true;
  bool details = false; ///< `routing::details` are wanted, whatever they cost
};

/// A named intermediate value of a router, e.g. the noisy logits "H" [T, E].
template <class Real>
struct routing_detail {
  std::string name;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<Real> values;
};

/// Where every token goes. Slots are best first.
template <class Real>
struct routing {
  std::int64_t tokens = 0;
  std::int64_t slots = 0;            ///< per token; differs from `router_needs::slots` for expert choice
  std::vector<std::int32_t> experts; ///< [T, slots]; -1: no choice
  std::vector<Real> gates;           ///< [T, slots]; 0 where there is no choice
  std::vector<std::uint8_t> used; ///< [T, slots]; empty: every slot with an expert. A chosen slot may be out
                                  ///< of use (gshard)
  std::vector<std::uint64_t> counts;         ///< [E] n_e: choices before dropping, unused ones included
  std::vector<routing_detail<Real>> details; ///< those asked for; always "beta" in training (quantile)

  bool in_use(std::int64_t slot) const { return experts[slot] >= 0 && (used.empty() || used[slot] != 0); }
};

/// Gradients that a router owes. Both [T, E]; `noise_logits` empty unless the router has them.
template <class Real>
struct logit_gradient {
  std::vector<Real> logits;
  std::vector<Real> noise_logits;
};

/// One routing rule: a pure function with its hand-written gradient. Formulas: docs/routing.md.
/// Threading: const methods may run concurrently.
template <class Real>
class router {
public:
  virtual ~router() = default;

  virtual router_needs needs() const = 0;

  virtual routing<Real> route(const routing_input<Real>& in) const = 0;

  /// out += ∂L/∂z, given ĝ = ∂L/∂gate per slot ([T, slots], 0 for slots not in use). Selection carries no
  /// gradient.
  virtual void backward(const routing_input<Real>& in, const routing<Real>& forward,
                        std::span<const Real> gate_gradient, logit_gradient<Real>& out) const = 0;
};

} // namespace troupe
