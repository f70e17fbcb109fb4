#pragma once

#include "model/routing/router.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

/// The k largest of every row of `scores` [T, E], largest first; equal scores go to the lowest index.
/// Scores of -∞ and NaN are never chosen; throws `run_failure` unless there are k others in each row. Returns
/// [T, k].
template <class Real>
std::vector<std::int32_t> top_k(matrix_view<Real> scores, std::int64_t k);

/// The largest of every row, lowest index on ties; -1 where every score is -∞ or NaN. Returns [T].
template <class Real>
std::vector<std::int32_t> largest(matrix_view<Real> scores);

/// n_e: how often each expert occurs among the chosen ones; -1 is skipped.
std::vector<std::uint64_t> count_choices(std::span<const std::int32_t> experts, std::int64_t expert_count);

/// A routing of these choices [T, k] with their counts; gates are `values` [T, E] at the chosen places.
template <class Real>
routing<Real> with_gates(std::vector<std::int32_t> experts, std::int64_t k, matrix_view<Real> values);

/// The same of the top k of `scores`.
template <class Real>
routing<Real> choose_top_k(matrix_view<Real> scores, std::int64_t k, matrix_view<Real> values);

/// Throws `run_failure` unless every slot names one of the experts or none (-1), with a finite gate.
template <class Real>
void require_sound(const routing<Real>& r, std::int64_t experts);

/// Divides the gates of each token by their sum.
template <class Real>
void renormalise(routing<Real>& r);

/// Replaces the gates of each token, which are logits, by their softmax over the token's slots.
template <class Real>
void softmax_over_slots(routing<Real>& r);

/// out += gradient of a softmax over the chosen logits: j ∈ S: g_j (ĝ_j − Σ_{i∈S} ĝ_i g_i).
template <class Real>
void chosen_softmax_backward(const routing<Real>& r, std::int64_t experts,
                             std::span<const Real> gate_gradient, std::vector<Real>& out);

/// out += gradient of a softmax over all logits, read at the chosen ones and scaled: P_j (ĝ_j − Σ_i ĝ_i P_i)
/// · scale.
template <class Real>
void full_softmax_backward(matrix_view<Real> probabilities, const routing<Real>& r,
                           std::span<const Real> gate_gradient, Real scale, std::vector<Real>& out);

} // namespace troupe
