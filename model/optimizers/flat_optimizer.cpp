#include "model/optimizers/flat_optimizer.hpp"

#include "messages/check.hpp"
#include "model/kernels/flush_subnormals.hpp"
#include "model/kernels/kernels.hpp"

#include <cmath>
#include <cstring>
#include <string>

namespace troupe {

std::size_t moments_of(const optimizer_options& options) noexcept {
  if (options.name == "sgd") return options.momentum != 0 ? 1 : 0;
  return 2;
}

template <class Real>
flat_optimizer<Real>::flat_optimizer(const optimizer_options& options, std::size_t size)
  : options_(options), size_(size) {
  if (options.name == "sgd")
    rule_ = rule::sgd;
  else if (options.name == "adam")
    rule_ = rule::adam;
  else if (options.name == "adamw")
    rule_ = rule::adamw;
  else
    programming_error("flat_optimizer", "optimizer: got " + options.name + ", known are sgd, adam, adamw");
  if (moments_of(options) > 0) first_ = aligned_buffer<Real>(size);
  if (moments_of(options) > 1) second_ = aligned_buffer<Real>(size);
}

template <class Real>
void flat_optimizer<Real>::step(std::span<Real> parameters, std::span<const Real> gradient, const update& u) {
  TROUPE_CHECK(parameters.size() == size_ && gradient.size() == size_,
               "got " + std::to_string(parameters.size()) + " parameters and "
                 + std::to_string(gradient.size()) + " gradients, have moments for " + std::to_string(size_));
  const flush_subnormals bracket;
  if (rule_ == rule::sgd)
    sgd(parameters, gradient, u);
  else
    adam(parameters, gradient, u);
}

template <class Real>
void flat_optimizer<Real>::sgd(std::span<Real> parameters, std::span<const Real> gradient, const update& u) {
  sgd_factors<Real> factors;
  factors.scale = static_cast<Real>(u.scale);
  factors.decay = static_cast<Real>(options_.weight_decay);
  factors.momentum = static_cast<Real>(options_.momentum);
  factors.rate = static_cast<Real>(u.learning_rate);
  best_kernels<Real>().sgd(parameters.data(), gradient.data(), first_.data(),
                           static_cast<std::ptrdiff_t>(size_), factors);
}

template <class Real>
void flat_optimizer<Real>::adam(std::span<Real> parameters, std::span<const Real> gradient, const update& u) {
  const auto t = static_cast<double>(u.index + 1);
  const auto correction1 = 1 - std::pow(options_.beta1, t);
  const auto correction2 = 1 - std::pow(options_.beta2, t);
  const bool decoupled = rule_ == rule::adamw;
  adam_factors<Real> factors;
  factors.scale = static_cast<Real>(u.scale);
  factors.decay = static_cast<Real>(decoupled ? 0 : options_.weight_decay);
  factors.keep = static_cast<Real>(decoupled ? 1 - u.learning_rate * options_.weight_decay : 1);
  factors.beta1 = static_cast<Real>(options_.beta1);
  factors.rest1 = static_cast<Real>(1 - options_.beta1);
  factors.beta2 = static_cast<Real>(options_.beta2);
  factors.rest2 = static_cast<Real>(1 - options_.beta2);
  factors.step = static_cast<Real>(u.learning_rate / correction1);
  factors.root = static_cast<Real>(1 / std::sqrt(correction2));
  factors.epsilon = static_cast<Real>(options_.epsilon);
  best_kernels<Real>().adam(parameters.data(), gradient.data(), first_.data(), second_.data(),
                            static_cast<std::ptrdiff_t>(size_), factors);
}

template <class Real>
void flat_optimizer<Real>::reset() noexcept {
  if (first_.size() != 0) first_.clear();
  if (second_.size() != 0) second_.clear();
}

template <class Real>
std::size_t flat_optimizer<Real>::saved_bytes() const noexcept {
  return (first_.size() + second_.size()) * sizeof(Real);
}

template <class Real>
void flat_optimizer<Real>::save(std::span<std::byte> into) const noexcept {
  const auto m = std::as_bytes(first_.span());
  const auto v = std::as_bytes(second_.span());
  if (!m.empty()) std::memcpy(into.data(), m.data(), m.size());
  if (!v.empty()) std::memcpy(into.data() + m.size(), v.data(), v.size());
}

template <class Real>
expected<void> flat_optimizer<Real>::load(std::span<const std::byte> from) {
  if (from.size() != saved_bytes())
    return fail(error_code::malformed, "[optimizer] state of " + options_.name + ": got "
                                         + std::to_string(from.size()) + " bytes, expected "
                                         + std::to_string(saved_bytes())
                                         + "; was it saved with the same model and optimizer?");
  const auto m = std::as_writable_bytes(first_.span());
  const auto v = std::as_writable_bytes(second_.span());
  if (!m.empty()) std::memcpy(m.data(), from.data(), m.size());
  if (!v.empty()) std::memcpy(v.data(), from.data() + m.size(), v.size());
  return {};
}

template class flat_optimizer<float>;
template class flat_optimizer<double>;

} // namespace troupe
