#pragma once

#include <cmath>

namespace troupe {

/// σ(u), without overflow on either side.
template <class Real>
Real sigmoid(Real u) {
  const Real e = std::exp(u < 0 ? u : -u);
  return (u < 0 ? e : Real(1)) / (Real(1) + e);
}

/// ln(1 + eᵘ); u itself above 20, where the two differ by less than 2.1e-9.
template <class Real>
Real softplus(Real u) {
  return u > 20 ? u : std::log1p(std::exp(u));
}

/// Φ(u) = ½ erfc(-u/√2): keeps the digits of the tail, unlike ½(1 + erf).
template <class Real>
Real normal_cdf(Real u) {
  return Real(0.5) * std::erfc(-u * Real(0.70710678118654752440));
}

template <class Real>
Real normal_density(Real u) {
  return Real(0.39894228040143267794) * std::exp(Real(-0.5) * u * u);
}

} // namespace troupe
