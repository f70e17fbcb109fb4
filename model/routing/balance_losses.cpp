// Losses E·Σ_e f_e·P̄_e and the variance of P̄: §3.1, §3.2, §3.5, §3.6 and nanoMoE's form of §3.3.

#include "model/routing/functions.hpp"
#include "model/routing/loss_makers.hpp"
#include "model/routing/selection.hpp"

#include <numeric>

namespace troupe {

namespace {

template <class Real>
matrix_view<Real> block_of(matrix_view<Real> m, std::int64_t first, std::int64_t rows) {
  return {m.data + first * m.columns, rows, m.columns};
}

/// E·Σ_e (n_e/(T·k))·mean_t p_te over consecutive blocks, each weighted by its share of the tokens; p = P or
/// p̃.
template <class Real>
class switch_loss : public router_loss<Real> {
public:
  explicit switch_loss(loss_formula formula, double factor) : formula_(std::move(formula)), factor_(factor) {
    // nop
  }

  double evaluate(const loss_input<Real>& in, double scale, loss_gradient<Real>* out) const override {
    const auto rows = blocks(in.logits.rows);
    double value = 0;
    std::int64_t first = 0;
    for (const auto n : rows) {
      const auto share = static_cast<double>(n) / static_cast<double>(in.logits.rows);
      Real* gradient = out == nullptr ? nullptr : out->logits.data() + first * in.logits.columns;
      value += share * factor_ * block(in, first, n, scale * share * factor_, gradient);
      first += n;
    }
    return value;
  }

private:
  std::vector<std::int64_t> blocks(std::int64_t tokens) const {
    if (formula_.name == "sequence") return sequences(tokens);
    return formula_.rows.empty() ? std::vector<std::int64_t>{tokens} : formula_.rows;
  }

  std::vector<std::int64_t> sequences(std::int64_t tokens) const {
    const auto length = formula_.sequence_length;
    std::vector<std::int64_t> out(static_cast<std::size_t>(tokens / length), length);
    if (tokens % length != 0) out.push_back(tokens % length);
    return out;
  }

  double block(const loss_input<Real>& in, std::int64_t first, std::int64_t n, double scale,
               Real* gradient) const {
    const auto experts = in.logits.columns;
    const bool sigmoid_score = formula_.score == router_needs::score_kind::sigmoid;
    const auto z = block_of(in.logits, first, n);
    std::vector<Real> score;      // s
    std::vector<Real> normalised; // p̃
    auto p = block_of(in.probabilities, first, n);
    if (sigmoid_score) {
      fill_sigmoid(z, score, normalised);
      p = {normalised.data(), n, experts};
    }
    std::vector<std::uint64_t> counts;
    if (!sigmoid_score && in.counts_k == formula_.k && n == in.logits.rows) {
      counts.assign(in.counts.begin(), in.counts.end());
    } else {
      const auto chosen = top_k(sigmoid_score ? matrix_view<Real>{score.data(), n, experts} : p, formula_.k);
      counts = count_choices(chosen, experts);
    }
    const auto sums = column_sums(p);
    const auto t = static_cast<double>(n);
    const auto factor = static_cast<double>(experts) / (t * static_cast<double>(formula_.k) * t);
    double value = 0;
    for (std::int64_t e = 0; e < experts; ++e) value += static_cast<double>(counts[e]) * sums[e] * factor;
    if (gradient != nullptr)
      add_gradient(p, sigmoid_score ? score.data() : nullptr, counts, scale * factor, gradient);
    return value;
  }

  static void fill_sigmoid(matrix_view<Real> z, std::vector<Real>& score, std::vector<Real>& normalised) {
    score.resize(static_cast<std::size_t>(z.rows * z.columns));
    normalised.resize(score.size());
    for (std::int64_t t = 0; t < z.rows; ++t) {
      Real sum = Real(1e-20);
      for (std::int64_t i = t * z.columns; i < (t + 1) * z.columns; ++i) sum += score[i] = sigmoid(z.data[i]);
      for (std::int64_t i = t * z.columns; i < (t + 1) * z.columns; ++i) normalised[i] = score[i] / sum;
    }
  }

  /// += factor · p_j (n_j − Σ_i n_i p_i), for p̃ times (1 − s_j).
  static void add_gradient(matrix_view<Real> p, const Real* score, const std::vector<std::uint64_t>& counts,
                           double factor, Real* gradient) {
    std::vector<Real> weight;
    for (const auto n : counts) weight.push_back(static_cast<Real>(static_cast<double>(n) * factor));
    add_mean_gradient(p, weight.data(), score, gradient);
  }

  loss_formula formula_;
  double factor_;
};

/// Unbiased variance over e of P̄_e.
template <class Real>
class variance_loss : public router_loss<Real> {
public:
  double evaluate(const loss_input<Real>& in, double scale, loss_gradient<Real>* out) const override {
    const auto experts = in.probabilities.columns;
    const auto t = static_cast<double>(in.probabilities.rows);
    auto mean = column_sums(in.probabilities);
    double centre = 0;
    for (auto& m : mean) centre += (m /= t) / static_cast<double>(experts);
    double value = 0;
    std::vector<Real> weight;
    for (const auto m : mean) {
      value += (m - centre) * (m - centre) / static_cast<double>(experts - 1);
      weight.push_back(static_cast<Real>(scale * 2 * (m - centre) / static_cast<double>(experts - 1) / t));
    }
    if (out != nullptr) add_mean_gradient<Real>(in.probabilities, weight.data(), nullptr, out->logits.data());
    return value;
  }
};

/// E·Σ_e (n_e/T)·mean_t g_te, g = softmax over the k kept logits.
template <class Real>
class nanomoe_loss : public router_loss<Real> {
public:
  explicit nanomoe_loss(std::int64_t k) : k_(k) {
    // nop
  }

  double evaluate(const loss_input<Real>& in, double scale, loss_gradient<Real>* out) const override {
    const auto experts = in.logits.columns;
    const auto counts = count_choices(top_k(in.probabilities, k_), experts);
    auto kept = choose_top_k(in.logits, k_, in.logits);
    softmax_over_slots(kept);
    const auto t = static_cast<double>(in.logits.rows);
    double value = 0;
    std::vector<Real> gate_gradient(kept.gates.size());
    for (std::size_t i = 0; i < kept.gates.size(); ++i) {
      const auto weight = static_cast<double>(experts) * static_cast<double>(counts[kept.experts[i]])
                          / (t * t);
      value += weight * kept.gates[i];
      gate_gradient[i] = static_cast<Real>(scale * weight);
    }
    if (out != nullptr) chosen_softmax_backward<Real>(kept, experts, gate_gradient, out->logits);
    return value;
  }

private:
  std::int64_t k_;
};

/// mean_t (logsumexp z)².
template <class Real>
class z_loss : public router_loss<Real> {
public:
  double evaluate(const loss_input<Real>& in, double scale, loss_gradient<Real>* out) const override {
    const auto experts = in.logits.columns;
    const auto t = static_cast<double>(in.logits.rows);
    double value = 0;
    for (const Real l : in.log_partition) value += static_cast<double>(l) * static_cast<double>(l);
    for (std::int64_t row = 0; out != nullptr && row < in.logits.rows; ++row) {
      const Real factor = static_cast<Real>(scale * 2 / t) * in.log_partition[row];
      for (std::int64_t e = row * experts; e < (row + 1) * experts; ++e)
        out->logits[e] += factor * in.probabilities.data[e];
    }
    return value / t;
  }
};

} // namespace

template <class Real>
std::unique_ptr<router_loss<Real>> make_switch_loss(const loss_formula& formula, double factor) {
  return std::make_unique<switch_loss<Real>>(formula, factor);
}

template <class Real>
std::unique_ptr<router_loss<Real>> make_variance_loss() {
  return std::make_unique<variance_loss<Real>>();
}

template <class Real>
std::unique_ptr<router_loss<Real>> make_nanomoe_loss(std::int64_t k) {
  return std::make_unique<nanomoe_loss<Real>>(k);
}

template <class Real>
std::unique_ptr<router_loss<Real>> make_z_loss() {
  return std::make_unique<z_loss<Real>>();
}

#define TROUPE_INSTANTIATE(Real)                                                                             \
  template std::unique_ptr<router_loss<Real>> make_switch_loss(const loss_formula&, double);                 \
  template std::unique_ptr<router_loss<Real>> make_variance_loss();                                          \
  template std::unique_ptr<router_loss<Real>> make_nanomoe_loss(std::int64_t);                               \
  template std::unique_ptr<router_loss<Real>> make_z_loss();
TROUPE_INSTANTIATE(float)
TROUPE_INSTANTIATE(double)
#undef TROUPE_INSTANTIATE

} // namespace troupe
