// Sinkhorn-balanced choice (Clark 2022, Megatron-Core): §2.7.

#include "model/routing/functions.hpp"
#include "model/routing/routers.hpp"
#include "model/routing/scores.hpp"
#include "model/routing/selection.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {

constexpr int updates_max = 1'000'000; // tens, or some ten thousand where epsilon makes the scale drift
constexpr double exponent_max = 500;   // leaves room below e^709 for sums and for c ≤ 1/(E·epsilon)

/// Top-k of π = c·exp(z)·r in training, of z otherwise. Gates σ(z) for k = 1, else P; not renormalised.
template <class Real>
class sinkhorn_router : public router<Real> {
public:
  sinkhorn_router(std::int64_t k, double tolerance, double epsilon)
    : k_(k), tolerance_(tolerance), epsilon_(epsilon) {
    // nop
  }

  router_needs needs() const override { return {.slots = k_}; }

  routing<Real> route(const routing_input<Real>& in) const override {
    if (!in.training) return gated(in, choose_top_k(in.logits, k_, in.probabilities));
    auto [plan, updates] = balanced_plan(in.logits);
    const matrix_view<double> view{plan.data(), in.logits.rows, in.logits.columns};
    require_finite(view, "sinkhorn's plan");
    auto out = with_gates(top_k(view, k_), k_, in.probabilities);
    if (in.details) {
      out.details.push_back({"plan", view.rows, view.columns, {plan.begin(), plan.end()}});
      out.details.push_back({"iterations", 1, 1, {static_cast<Real>(updates)}});
    }
    return gated(in, std::move(out));
  }

  void backward(const routing_input<Real>& in, const routing<Real>& forward,
                std::span<const Real> gate_gradient, logit_gradient<Real>& out) const override {
    if (k_ > 1) return full_softmax_backward(in.probabilities, forward, gate_gradient, Real(1), out.logits);
    for (std::int64_t t = 0; t < forward.tokens; ++t) {
      const Real s = forward.gates[t];
      out.logits[t * in.logits.columns + forward.experts[t]] += gate_gradient[t] * s * (1 - s);
    }
  }

private:
  routing<Real> gated(const routing_input<Real>& in, routing<Real> r) const {
    if (k_ == 1)
      for (std::int64_t t = 0; t < r.tokens; ++t)
        r.gates[t] = sigmoid(in.logits.data[t * in.logits.columns + r.experts[t]]);
    return r;
  }

  /// K = exp(z), and epsilon for each row's sum. A row beyond `exponent_max` is divided by a constant, and
  /// its epsilon with it: its r grows by that constant, π and c stay what they are, and exp cannot overflow.
  std::pair<std::vector<double>, std::vector<double>> kernel(matrix_view<Real> z) const {
    std::vector<double> k(static_cast<std::size_t>(z.rows * z.columns));
    std::vector<double> epsilon(static_cast<std::size_t>(z.rows));
    for (std::int64_t t = 0; t < z.rows; ++t) {
      const auto row = z.row(t);
      const double largest = static_cast<double>(*std::max_element(row.begin(), row.end()));
      const double shift = std::max(0.0, largest - exponent_max);
      for (std::int64_t e = 0; e < z.columns; ++e)
        k[t * z.columns + e] = std::exp(static_cast<double>(row[e]) - shift);
      epsilon[t] = epsilon_ * std::exp(-shift);
    }
    return {std::move(k), std::move(epsilon)};
  }

  /// π and the number of updates of c, in double: exp(z) needs the range.
  std::pair<std::vector<double>, int> balanced_plan(matrix_view<Real> z) const {
    const auto rows = z.rows;
    const auto experts = z.columns;
    auto [plan, epsilon] = kernel(z);
    std::vector<double> r(static_cast<std::size_t>(rows));
    std::vector<double> c(static_cast<std::size_t>(experts), 1.0);
    std::vector<double> column(c.size());
    int updates = 0;
    for (double change = tolerance_ + 1; change > tolerance_ && updates < updates_max; ++updates) {
      std::fill(column.begin(), column.end(), 0.0);
      for (std::int64_t t = 0; t < rows; ++t) {
        double sum = 0;
        for (std::int64_t e = 0; e < experts; ++e) sum += c[e] * plan[t * experts + e];
        r[t] = (1.0 / static_cast<double>(rows)) / (sum + epsilon[t]);
        for (std::int64_t e = 0; e < experts; ++e) column[e] += r[t] * plan[t * experts + e];
      }
      change = 0;
      for (std::int64_t e = 0; e < experts; ++e) {
        const double next = (1.0 / static_cast<double>(experts)) / (column[e] + epsilon_);
        change += std::abs(next - c[e]) / static_cast<double>(experts);
        c[e] = next;
      }
    }
    for (std::int64_t t = 0; t < rows; ++t)
      for (std::int64_t e = 0; e < experts; ++e) plan[t * experts + e] = plan[t * experts + e] * c[e] * r[t];
    return {std::move(plan), updates};
  }

  std::int64_t k_;
  double tolerance_;
  double epsilon_;
};

} // namespace

template <class Real>
std::unique_ptr<router<Real>> make_sinkhorn(std::int64_t k, double tolerance, double epsilon) {
  return std::make_unique<sinkhorn_router<Real>>(k, tolerance, epsilon);
}

template std::unique_ptr<router<float>> make_sinkhorn(std::int64_t, double, double);
template std::unique_ptr<router<double>> make_sinkhorn(std::int64_t, double, double);

} // namespace troupe
