#include "model/routing/selection.hpp"

#include "model/routing/lanes.hpp"
#include "model/run_failure.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace troupe {

namespace {

/// -1 from the slot on for which a row has no score above -∞.
template <class Real>
std::vector<std::int32_t> best_of_rows(matrix_view<Real> scores, std::int64_t k) {
  std::vector<std::int32_t> out(static_cast<std::size_t>(scores.rows * k));
  std::vector<Real> block(static_cast<std::size_t>(scores.columns * lanes));
  std::int32_t chosen[lanes];
  for (std::int64_t first = 0; first < scores.rows; first += lanes) {
    const auto n = std::min<std::int64_t>(lanes, scores.rows - first);
    load_lanes(scores, first, n, block.data());
    for (std::int64_t j = 0; j < k; ++j) {
      take_best(block.data(), scores.columns, chosen);
      for (std::int64_t l = 0; l < n; ++l) out[(first + l) * k + j] = chosen[l];
    }
  }
  return out;
}

[[noreturn]] void give_up(const std::string& what, const std::string& got, const std::string& limit,
                          const char* remedy = "; lower the learning rate or clip gradients") {
  throw run_failure(
    {error_code::over_limit, "[router] " + what + ": got " + got + ", limit " + limit + remedy});
}

} // namespace

template <class Real>
std::vector<std::int32_t> top_k(matrix_view<Real> scores, std::int64_t k) {
  auto out = best_of_rows(scores, k);
  for (std::int64_t t = 0; t < scores.rows; ++t)
    if (out[t * k + k - 1] < 0)
      give_up("scores of token " + std::to_string(t), "too few that can be chosen",
              std::to_string(k) + " of " + std::to_string(scores.columns) + " that are numbers");
  return out;
}

template <class Real>
std::vector<std::int32_t> largest(matrix_view<Real> scores) {
  return best_of_rows(scores, 1);
}

template <class Real>
void require_sound(const routing<Real>& r, std::int64_t experts) {
  const auto where = [&](std::size_t i) {
    return " of token " + std::to_string(i / static_cast<std::size_t>(r.slots)) + ", slot "
           + std::to_string(i % static_cast<std::size_t>(r.slots));
  };
  for (std::size_t i = 0; i < r.experts.size(); ++i) {
    if (r.experts[i] < -1 || r.experts[i] >= experts)
      give_up("expert" + where(i), std::to_string(r.experts[i]), "-1 to " + std::to_string(experts - 1), "");
    if (!std::isfinite(r.gates[i])) give_up("gate" + where(i), std::to_string(r.gates[i]), "finite");
  }
}

std::vector<std::uint64_t> count_choices(std::span<const std::int32_t> experts, std::int64_t expert_count) {
  std::vector<std::uint64_t> out(static_cast<std::size_t>(expert_count));
  for (const auto e : experts)
    if (e >= 0) ++out[e];
  return out;
}

template <class Real>
routing<Real> with_gates(std::vector<std::int32_t> experts, std::int64_t k, matrix_view<Real> values) {
  routing<Real> out;
  out.tokens = values.rows;
  out.slots = k;
  out.experts = std::move(experts);
  out.gates.resize(out.experts.size());
  for (std::int64_t t = 0; t < out.tokens; ++t)
    for (std::int64_t j = 0; j < k; ++j)
      out.gates[t * k + j] = values.data[t * values.columns + out.experts[t * k + j]];
  out.counts = count_choices(out.experts, values.columns);
  return out;
}

template <class Real>
routing<Real> choose_top_k(matrix_view<Real> scores, std::int64_t k, matrix_view<Real> values) {
  return with_gates(top_k(scores, k), k, values);
}

template <class Real>
void renormalise(routing<Real>& r) {
  for (std::int64_t t = 0; t < r.tokens; ++t) {
    Real* gates = r.gates.data() + t * r.slots;
    Real sum = 0;
    for (std::int64_t j = 0; j < r.slots; ++j) sum += gates[j];
    for (std::int64_t j = 0; j < r.slots; ++j) gates[j] /= sum;
  }
}

template <class Real>
void softmax_over_slots(routing<Real>& r) {
  for (std::int64_t t = 0; t < r.tokens; ++t) {
    Real* gates = r.gates.data() + t * r.slots;
    const Real maximum = *std::max_element(gates, gates + r.slots);
    for (std::int64_t j = 0; j < r.slots; ++j) gates[j] = std::exp(gates[j] - maximum);
  }
  renormalise(r);
}

template <class Real>
void chosen_softmax_backward(const routing<Real>& r, std::int64_t experts,
                             std::span<const Real> gate_gradient, std::vector<Real>& out) {
  for (std::int64_t t = 0; t < r.tokens; ++t) {
    const auto base = t * r.slots;
    Real inner = 0;
    for (std::int64_t j = 0; j < r.slots; ++j) inner += gate_gradient[base + j] * r.gates[base + j];
    for (std::int64_t j = 0; j < r.slots; ++j)
      out[t * experts + r.experts[base + j]] += r.gates[base + j] * (gate_gradient[base + j] - inner);
  }
}

template <class Real>
void full_softmax_backward(matrix_view<Real> probabilities, const routing<Real>& r,
                           std::span<const Real> gate_gradient, Real scale, std::vector<Real>& out) {
  const auto experts = probabilities.columns;
  for (std::int64_t t = 0; t < r.tokens; ++t) {
    const Real* p = probabilities.data + t * experts;
    Real* row = out.data() + t * experts;
    Real inner = 0;
    for (std::int64_t j = t * r.slots; j < (t + 1) * r.slots; ++j)
      if (r.experts[j] >= 0) {
        inner += gate_gradient[j] * p[r.experts[j]];
        row[r.experts[j]] += scale * gate_gradient[j] * p[r.experts[j]];
      }
    inner *= scale;
    for (std::int64_t e = 0; e < experts; ++e) row[e] -= p[e] * inner;
  }
}

#define TROUPE_INSTANTIATE(Real)                                                                             \
  template std::vector<std::int32_t> top_k(matrix_view<Real>, std::int64_t);                                 \
  template std::vector<std::int32_t> largest(matrix_view<Real>);                                             \
  template void require_sound(const routing<Real>&, std::int64_t);                                           \
  template routing<Real> with_gates(std::vector<std::int32_t>, std::int64_t, matrix_view<Real>);             \
  template routing<Real> choose_top_k(matrix_view<Real>, std::int64_t, matrix_view<Real>);                   \
  template void renormalise(routing<Real>&);                                                                 \
  template void softmax_over_slots(routing<Real>&);                                                          \
  template void chosen_softmax_backward(const routing<Real>&, std::int64_t, std::span<const Real>,           \
                                        std::vector<Real>&);                                                 \
  template void full_softmax_backward(matrix_view<Real>, const routing<Real>&, std::span<const Real>, Real,  \
                                      std::vector<Real>&);
TROUPE_INSTANTIATE(float)
TROUPE_INSTANTIATE(double)
#undef TROUPE_INSTANTIATE

} // namespace troupe
