#include "model/routing/capacity.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace troupe {

expected<capacity_policy> capacity_policy_of(const std::string& name) {
  static constexpr std::pair<const char*, capacity_policy> names[] = {
    {"none", capacity_policy::none},
    {"probs", capacity_policy::probs},
    {"token_major", capacity_policy::token_major},
    {"choice_major", capacity_policy::choice_major},
    {"bpr", capacity_policy::bpr},
    {"random", capacity_policy::random},
  };
  for (const auto& [text, policy] : names)
    if (name == text) return policy;
  return fail(error_code::usage, "[capacity] policy: got '" + name
                                   + "', limit none | probs | token_major | choice_major | bpr | random");
}

std::int64_t capacity_of(std::int64_t tokens, std::int64_t slots, std::int64_t experts, double factor,
                         std::int64_t minimum) {
  const double share = static_cast<double>(tokens * slots) / static_cast<double>(experts);
  constexpr double places_max = 0x1p62; // a factor may be any finite number, what it asks for must fit
  return std::max(minimum, static_cast<std::int64_t>(std::min(places_max, std::ceil(share * factor))));
}

namespace {

/// The order in which slots ask for a place. Only slots in use.
template <class Real>
std::vector<std::int64_t> order_of(const routing<Real>& r, capacity_policy policy,
                                   std::span<const Real> priority) {
  std::vector<std::int64_t> tokens(static_cast<std::size_t>(r.tokens));
  std::iota(tokens.begin(), tokens.end(), 0);
  if (policy == capacity_policy::bpr)
    std::stable_sort(tokens.begin(), tokens.end(), [&](auto a, auto b) { return priority[a] > priority[b]; });
  std::vector<std::int64_t> order;
  order.reserve(r.experts.size());
  if (policy == capacity_policy::choice_major || policy == capacity_policy::bpr) {
    for (std::int64_t j = 0; j < r.slots; ++j)
      for (const auto t : tokens)
        if (r.in_use(t * r.slots + j)) order.push_back(t * r.slots + j);
    return order;
  }
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(r.experts.size()); ++i)
    if (r.in_use(i)) order.push_back(i);
  if (policy == capacity_policy::probs)
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return r.gates[a] > r.gates[b]; });
  if (policy == capacity_policy::random)
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return priority[a] > priority[b]; });
  return order;
}

template <class Real>
void renormalise_survivors(survivors<Real>& s, std::int64_t tokens, std::int64_t slots) {
  for (std::int64_t t = 0; t < tokens; ++t) {
    Real sum = 0;
    for (std::int64_t i = t * slots; i < (t + 1) * slots; ++i) sum += s.gates[i];
    sum = sum == 0 ? Real(1) : sum;
    for (std::int64_t i = t * slots; i < (t + 1) * slots; ++i) s.gates[i] /= sum;
    s.surviving_sum.push_back(sum);
  }
}

} // namespace

template <class Real>
survivors<Real> drop_over_capacity(const routing<Real>& r, capacity_policy policy, std::int64_t capacity,
                                   std::span<const Real> priority, bool renormalise) {
  survivors<Real> out;
  out.kept.assign(r.experts.size(), 0);
  out.gates.assign(r.experts.size(), Real(0));
  out.counts.assign(r.counts.size(), 0);
  for (const auto i : order_of(r, policy, priority)) {
    auto& taken = out.counts[r.experts[i]];
    if (policy != capacity_policy::none && taken >= static_cast<std::uint64_t>(capacity)) continue;
    ++taken;
    out.kept[i] = 1;
    out.gates[i] = r.gates[i];
  }
  if (renormalise) renormalise_survivors(out, r.tokens, r.slots);
  return out;
}

template <class Real>
void capacity_backward(const survivors<Real>& s, std::int64_t slots, std::span<Real> gate_gradient) {
  for (std::size_t i = 0; i < s.kept.size(); ++i)
    if (!s.kept[i]) gate_gradient[i] = 0;
  for (std::size_t t = 0; t < s.surviving_sum.size(); ++t) {
    const auto first = t * static_cast<std::size_t>(slots);
    Real inner = 0;
    for (std::size_t i = first; i < first + slots; ++i) inner += gate_gradient[i] * s.gates[i];
    for (std::size_t i = first; i < first + slots; ++i)
      if (s.kept[i]) gate_gradient[i] = (gate_gradient[i] - inner) / s.surviving_sum[t];
  }
}

#define TROUPE_INSTANTIATE(Real)                                                                             \
  template survivors<Real> drop_over_capacity(const routing<Real>&, capacity_policy, std::int64_t,           \
                                              std::span<const Real>, bool);                                  \
  template void capacity_backward(const survivors<Real>&, std::int64_t, std::span<Real>);
TROUPE_INSTANTIATE(float)
TROUPE_INSTANTIATE(double)
#undef TROUPE_INSTANTIATE

} // namespace troupe
