#pragma once

#include "model/routing/losses.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace troupe {

// The losses behind `make_loss`, by formula, and the sums they share.

/// §3.1; `factor` multiplies value and gradient (hf: k).
template <class Real>
std::unique_ptr<router_loss<Real>> make_switch_loss(const loss_formula& formula, double factor);

template <class Real>
std::unique_ptr<router_loss<Real>> make_variance_loss();

template <class Real>
std::unique_ptr<router_loss<Real>> make_nanomoe_loss(std::int64_t k);

template <class Real>
std::unique_ptr<router_loss<Real>> make_z_loss();

template <class Real>
std::unique_ptr<router_loss<Real>> make_importance_loss();

template <class Real>
std::unique_ptr<router_loss<Real>> make_load_loss(std::int64_t k, double floor);

template <class Real>
std::unique_ptr<router_loss<Real>> make_tutel_loss(std::int64_t k, double noise);

/// Σ_t m_te in fp64, tokens ascending.
template <class Real>
std::vector<double> column_sums(matrix_view<Real> m);

/// gradient += p_j (w_j − Σ_i w_i p_i), times (1 − s_j) if `score` s is given: the gradient of Σ_te w_e p_te
/// for P and p̃.
template <class Real>
void add_mean_gradient(matrix_view<Real> p, const Real* weight, const Real* score, Real* gradient);

} // namespace troupe
