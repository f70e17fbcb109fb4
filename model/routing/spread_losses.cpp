// Coefficient-of-variation losses: importance and load (Shazeer 2017), and Tutel's mixture of both: §3.3.

#include "messages/check.hpp"
#include "model/routing/functions.hpp"
#include "model/routing/loss_makers.hpp"
#include "model/routing/noise.hpp"
#include "model/routing/selection.hpp"

namespace troupe {

namespace {

/// var_unbiased(v)/(mean(v)² + 1e-10) and its gradient.
double cv_squared(const std::vector<double>& v, std::vector<double>& gradient) {
  const auto n = static_cast<double>(v.size());
  double mean = 0;
  for (const auto x : v) mean += x / n;
  double variance = 0;
  for (const auto x : v) variance += (x - mean) * (x - mean) / (n - 1);
  const double bottom = mean * mean + 1e-10;
  gradient.clear();
  for (const auto x : v)
    gradient.push_back(2 * (x - mean) / (n - 1) / bottom - variance * 2 * mean / n / (bottom * bottom));
  return variance / bottom;
}

/// Adds dL/dH at one place to dL/dz and dL/draw.
template <class Real>
void add_through_noise(const loss_input<Real>& in, std::int64_t place, Real dh, logit_gradient<Real>& out) {
  out.logits[place] += dh;
  if (!in.normal.empty())
    out.noise_logits[place] += dh * in.normal[place] * sigmoid(in.noise_logits.data[place]);
}

/// CV²(Σ_t g_te) of the gates in use.
template <class Real>
class importance_loss : public router_loss<Real> {
public:
  double evaluate(const loss_input<Real>& in, double scale, loss_gradient<Real>* out) const override {
    const auto& r = *in.chosen;
    std::vector<double> slope;
    const double value = cv_squared(sums(in), slope);
    for (std::int64_t i = 0; out != nullptr && i < std::ssize(r.experts); ++i)
      if (r.in_use(i)) out->gates[i] += static_cast<Real>(scale * slope[r.experts[i]]);
    return value;
  }

  std::vector<double> sums(const loss_input<Real>& in) const override {
    TROUPE_CHECK(in.chosen != nullptr, "importance without the router's choice");
    const auto& r = *in.chosen;
    std::vector<double> out(static_cast<std::size_t>(in.logits.columns));
    for (std::int64_t i = 0; i < std::ssize(r.experts); ++i)
      if (r.in_use(i)) out[r.experts[i]] += static_cast<double>(r.gates[i]);
    return out;
  }
};

/// CV²(Load), Load_e = Σ_t Φ((z_te − θ_te)/σ_te), θ_te = k-th largest H of the row with expert e left out.
template <class Real>
class load_loss : public router_loss<Real> {
public:
  load_loss(std::int64_t k, double floor) : k_(k), floor_(floor) {
    // nop
  }

  double evaluate(const loss_input<Real>& in, double scale, loss_gradient<Real>* out) const override {
    const work w(in, k_, floor_);
    std::vector<double> slope;
    const double value = cv_squared(w.sums(in), slope);
    const auto experts = in.logits.columns;
    for (std::int64_t place = 0; out != nullptr && place < in.logits.rows * experts; ++place) {
      const auto u = w.argument(in, place);
      const auto density = normal_density(u);
      if (density == 0) continue; // u may be infinite there
      const Real a = static_cast<Real>(scale * slope[place % experts]) * density / w.noisy.sigma[place];
      out->logits[place] += a;
      out->noise_logits[place] -= a * u * sigmoid(in.noise_logits.data[place]);
      add_through_noise(in, w.threshold[place], -a, *out);
    }
    return value;
  }

  std::vector<double> sums(const loss_input<Real>& in) const override {
    return work(in, k_, floor_).sums(in);
  }

private:
  struct work {
    work(const loss_input<Real>& in, std::int64_t k, double floor)
      : noisy(add_noise(in.logits, in.noise_logits, in.normal, floor)) {
      const auto rows = in.logits.rows;
      const auto experts = in.logits.columns;
      const auto ranked = top_k<Real>({noisy.values.data(), rows, experts}, k + 1);
      threshold.resize(static_cast<std::size_t>(rows * experts));
      for (std::int64_t t = 0; t < rows; ++t) {
        const auto* rank = ranked.data() + t * (k + 1);
        for (std::int64_t e = 0; e < experts; ++e) threshold[t * experts + e] = t * experts + rank[k - 1];
        for (std::int64_t j = 0; j < k; ++j) threshold[t * experts + rank[j]] = t * experts + rank[k];
      }
    }

    Real argument(const loss_input<Real>& in, std::int64_t place) const {
      return (in.logits.data[place] - noisy.values[threshold[place]]) / noisy.sigma[place];
    }

    std::vector<double> sums(const loss_input<Real>& in) const {
      std::vector<double> out(static_cast<std::size_t>(in.logits.columns));
      for (std::int64_t place = 0; place < in.logits.rows * in.logits.columns; ++place)
        out[place % in.logits.columns] += static_cast<double>(normal_cdf(argument(in, place)));
      return out;
    }

    noisy_logits<Real> noisy;
    std::vector<std::int64_t> threshold; ///< place of θ_te in H
  };

  std::int64_t k_;
  double floor_;
};

/// ½[CV²(Σ_t P) + CV²(Load')], Load'_e = Σ_t Φ((P_te − kth raw logit)/(noise/E)). Mixes scales; for
/// comparison only.
template <class Real>
class tutel_loss : public router_loss<Real> {
public:
  tutel_loss(std::int64_t k, double noise) : k_(k), noise_(noise) {
    // nop
  }

  double evaluate(const loss_input<Real>& in, double scale, loss_gradient<Real>* out) const override {
    const auto rows = in.logits.rows;
    const auto experts = in.logits.columns;
    const auto ranked = top_k(in.logits, k_);
    const auto width = static_cast<Real>(noise_ / static_cast<double>(experts));
    const auto argument = [&](std::int64_t t, std::int64_t e) {
      return (in.probabilities.data[t * experts + e] - in.logits.data[t * experts + ranked[t * k_ + k_ - 1]])
             / width;
    };
    std::vector<double> load(static_cast<std::size_t>(experts));
    for (std::int64_t t = 0; t < rows; ++t)
      for (std::int64_t e = 0; e < experts; ++e) load[e] += static_cast<double>(normal_cdf(argument(t, e)));
    std::vector<double> importance_slope;
    std::vector<double> load_slope;
    const double value = (cv_squared(column_sums(in.probabilities), importance_slope)
                          + cv_squared(load, load_slope))
                         / 2;
    std::vector<Real> dp(static_cast<std::size_t>(experts));
    for (std::int64_t t = 0; out != nullptr && t < rows; ++t) {
      Real inner = 0;
      for (std::int64_t e = 0; e < experts; ++e) {
        const Real a = static_cast<Real>(scale / 2 * load_slope[e]) * normal_density(argument(t, e)) / width;
        dp[e] = a + static_cast<Real>(scale / 2 * importance_slope[e]);
        out->logits[t * experts + ranked[t * k_ + k_ - 1]] -= a;
        inner += dp[e] * in.probabilities.data[t * experts + e];
      }
      for (std::int64_t e = 0; e < experts; ++e)
        out->logits[t * experts + e] += in.probabilities.data[t * experts + e] * (dp[e] - inner);
    }
    return value;
  }

private:
  std::int64_t k_;
  double noise_;
};

} // namespace

template <class Real>
std::unique_ptr<router_loss<Real>> make_importance_loss() {
  return std::make_unique<importance_loss<Real>>();
}

template <class Real>
std::unique_ptr<router_loss<Real>> make_load_loss(std::int64_t k, double floor) {
  return std::make_unique<load_loss<Real>>(k, floor);
}

template <class Real>
std::unique_ptr<router_loss<Real>> make_tutel_loss(std::int64_t k, double noise) {
  return std::make_unique<tutel_loss<Real>>(k, noise);
}

#define TROUPE_INSTANTIATE(Real)                                                                             \
  template std::unique_ptr<router_loss<Real>> make_importance_loss();                                        \
  template std::unique_ptr<router_loss<Real>> make_load_loss(std::int64_t, double);                          \
  template std::unique_ptr<router_loss<Real>> make_tutel_loss(std::int64_t, double);
TROUPE_INSTANTIATE(float)
TROUPE_INSTANTIATE(double)
#undef TROUPE_INSTANTIATE

} // namespace troupe
