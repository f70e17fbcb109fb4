#pragma once

#include "model/random.hpp"
#include "model/routing/losses.hpp"
#include "model/routing/make_router.hpp"
#include "model/routing/scores.hpp"

#include <memory>
#include <string>
#include <vector>

namespace troupe::testing {

/// A router with everything that it sees: random logits, draws, biases and ids of T tokens and E experts.
template <class Real>
struct router_case {
  router_case(const router_options& o, std::int64_t tokens, std::int64_t experts, std::uint64_t seed = 1)
    : T(tokens), E(experts), rule(make_router<Real>(o, static_cast<std::uint32_t>(experts)).value()),
      needs(rule->needs()) {
    const auto normal = [&](const char* purpose, std::int64_t count) {
      std::vector<Real> out(static_cast<std::size_t>(count));
      philox_stream(seed, purpose).fill_normal<Real>(out);
      return out;
    };
    logits = normal("logits", T * E);
    raw = normal("raw", T * E);
    bias = normal("bias", E);
    for (auto& b : bias) b *= Real(0.1);
    draws = normal("draws", T * E);
    using draw = router_needs::draw_kind;
    if (needs.draws == draw::none) draws.clear();
    if (needs.draws == draw::uniform_token || needs.draws == draw::uniform_logit) {
      draws.resize(static_cast<std::size_t>(needs.draws == draw::uniform_token ? T : T * E));
      philox_stream(seed, "uniform").fill_uniform<Real>(draws);
    }
    for (std::int64_t t = 0; t < T; ++t) ids.push_back(3 * t + 1);
  }

  /// Views of the vectors as they are now; `scores` is brought up to date.
  routing_input<Real> seen() {
    const matrix_view<Real> z{logits.data(), T, E};
    scores = softmax_rows(z);
    return {z, scores.view(E), scores.log_partition, {raw.data(), T, E}, bias, ids, draws, true};
  }

  /// The same with `chosen` brought up to date.
  loss_input<Real> seen_by_losses() {
    const auto in = seen();
    chosen = rule->route(in);
    return {.logits = in.logits,
            .probabilities = in.probabilities,
            .log_partition = in.log_partition,
            .noise_logits = in.noise_logits,
            .normal = needs.noise_gate ? in.draws : std::span<const Real>(),
            .chosen = &chosen};
  }

  /// Zeros for what `chosen` and the logits take.
  loss_gradient<Real> no_gradient() const {
    return {{std::vector<Real>(logits.size()), std::vector<Real>(raw.size())},
            std::vector<Real>(chosen.gates.size())};
  }

  std::int64_t T;
  std::int64_t E;
  std::unique_ptr<router<Real>> rule;
  router_needs needs;
  std::vector<Real> logits, raw, bias, draws;
  std::vector<std::int64_t> ids;
  gate_scores<Real> scores;
  routing<Real> chosen;
};

/// The options under which every standard router is tested: E = 6.
inline std::vector<router_options> every_router() {
  std::vector<router_options> out;
  const auto add = [&](const std::string& name, std::uint32_t k, auto change) {
    router_options o;
    o.name = name;
    o.experts_per_token = k;
    o.losses.clear();
    change(o);
    out.push_back(o);
  };
  const auto same = [](router_options&) {};
  add("softmax", 2, same);
  add("softmax", 3, [](auto& o) { o.renormalise = false; });
  add("softmax", 1, [](auto& o) { o.renormalise = false; });
  add("softmax", 6, same);
  add("softmax_post", 3, same);
  add("switch", 1, same);
  add("dense", 6, same);
  add("sigmoid_bias", 2, [](auto& o) { o.scale = 2.5; });
  add("sigmoid_bias", 1, same);
  for (const auto* mask : {"neg_inf", "zero"})
    for (const auto* base : {"sigmoid", "softmax"})
      add("group_limited", 2, [&](auto& o) {
        o.base = base;
        o.group_mask = mask;
        o.groups = 3;
        o.groups_kept = 2;
        o.scale = 1.5;
      });
  add("noisy_top_k", 2, same);
  for (const auto* second : {"random", "threshold", "gumbel", "all"})
    add("gshard", 2, [&](auto& o) { o.second = second; });
  add("sinkhorn", 1, same);
  add("sinkhorn", 2, same);
  add("expert_choice", 2, same);
  add("hash", 1, same);
  add("task", 1, same);
  add("quantile", 2, same);
  return out;
}

inline std::string described(const router_options& o) {
  return o.name + " k=" + std::to_string(o.experts_per_token) + (o.renormalise ? " renormalised" : "")
         + " base " + o.base + " mask " + o.group_mask + " second " + o.second;
}

} // namespace troupe::testing
