#pragma once

#include "messages/error.hpp"
#include "messages/tensor.hpp"
#include "model/configuration.hpp"

#include <cstdint>
#include <functional>
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

/// What a router sees of one microbatch. T tokens, E experts.
template <class Real>
struct routing_input {
  matrix_view<Real> logits;          ///< z [T, E]; empty for routers without a gate
  matrix_view<Real> noise_logits;    ///< x·Wnᵀ [T, E], `noisy_top_k` only
  std::span<const Real> bias;        ///< [E], routers with a selection bias
  std::span<const std::int64_t> ids; ///< [T], token ids (hash) or labels (task): what the router asked for
  std::span<const Real> draws;       ///< what `draws_wanted` asked for: uniform or normal, row-major
  bool training = true;
};

/// Where every token goes. Slots are best first; an unused slot has expert -1 and gate 0.
template <class Real>
struct routing {
  std::int64_t tokens = 0;
  std::int64_t slots = 0;              ///< k
  std::vector<std::int32_t> experts;   ///< [T, k]
  std::vector<Real> gates;             ///< [T, k]
  std::vector<std::uint64_t> counts;   ///< [E] n_e: choices before dropping
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

  /// Random numbers per microbatch that `route` reads in training: none, uniform [T], uniform [T, E] or normal [T, E].
  enum class draw_kind { none, uniform_token, uniform_logit, normal_logit };

  virtual draw_kind draws_wanted() const {
    return draw_kind::none;
  }

  virtual routing<Real> route(const routing_input<Real>& in) const = 0;

  /// out += ∂L/∂z, given ĝ = ∂L/∂gate per slot ([T, k], 0 for unused slots). Selection carries no gradient.
  virtual void backward(const routing_input<Real>& in, const routing<Real>& forward, std::span<const Real> gate_gradient,
                        logit_gradient<Real>& out) const = 0;
};

} // namespace troupe
