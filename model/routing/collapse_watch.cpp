#include "model/routing/collapse_watch.hpp"

#include "model/routing/health.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

namespace troupe {

std::optional<std::string> collapse_watch::take(std::span<const std::uint64_t> counts) {
  if (told_ || counts.empty()) return std::nullopt;
  sum_.resize(counts.size());
  std::ranges::transform(sum_, counts, sum_.begin(), std::plus{});
  ++steps_;
  const auto rows = std::accumulate(sum_.begin(), sum_.end(), std::uint64_t{0});
  if (steps_ < window_steps || static_cast<double>(rows) < window_rows * static_cast<double>(sum_.size()))
    return std::nullopt;
  std::optional<std::string> result;
  const bool collapsed = window_collapsed();
  if (collapsed && suspected_) {
    result = warning();
    told_ = true;
  }
  suspected_ = collapsed;
  sum_.assign(sum_.size(), 0);
  steps_ = 0;
  return result;
}

bool collapse_watch::window_collapsed() const {
  const auto health = health_of(sum_);
  // As many experts as would have this entropy at equal loads: k when every row goes to the same ones.
  const auto in_use = std::exp(health.load_entropy_nats);
  const auto k = static_cast<double>(std::max(1u, router_.experts_per_token));
  const auto experts = static_cast<double>(sum_.size());
  const bool crowded = experts > k && in_use <= std::min(2 * k, (experts + k) / 3);
  return health.dead_experts > 0 || crowded;
}

std::string collapse_watch::warning() const {
  const auto health = health_of(sum_);
  char text[160];
  std::snprintf(
    text, sizeof text,
    "routing collapses: %llu of %zu experts got no token in the last %llu steps, the busiest one %.1f "
    "times the mean; ",
    static_cast<unsigned long long>(health.dead_experts), sum_.size(),
    static_cast<unsigned long long>(steps_), health.load_max_over_mean);
  return text + remedy();
}

bool collapse_watch::takes_more_experts_per_token() const {
  const auto& name = router_.name;
  if (name == "switch" || name == "hash" || name == "task" || name == "gshard" || name == "expert_choice")
    return false;
  const auto experts = static_cast<std::uint32_t>(sum_.size());
  auto most = experts;
  if (name == "quantile") most = experts - 1;
  if (name == "group_limited") most = router_.groups_kept * (experts / std::max(1u, router_.groups));
  return router_.experts_per_token < most;
}

std::string collapse_watch::raised(const std::string& flag, double now, double least) {
  char text[64];
  std::snprintf(text, sizeof text, " (%g, say)", now < least ? least : 3 * now);
  return flag + text;
}

double collapse_watch::coefficient_of(const std::string& loss) const {
  const auto own = std::ranges::find(router_.losses, loss, &loss_option::name);
  return own == router_.losses.end() ? 0.0 : own->coefficient;
}

std::string collapse_watch::remedy() const {
  const auto& name = router_.name;
  const auto aux = [this](double least) {
    return raised("--router-aux-loss-coef", coefficient_of("switch"), least);
  };
  if (name == "task") return "choose at most as many --num-experts as there are classes";
  if (name == "hash") return "choose another --router-hash-seed or fewer --num-experts";
  if (name == "expert_choice") return "raise --router-choice-capacity-factor or choose fewer --num-experts";
  const bool wider = takes_more_experts_per_token();
  if (name == "sinkhorn" || name == "quantile")
    return wider ? "choose more experts per token or fewer experts" : "choose fewer experts";
  if (name == "sigmoid_bias" || (name == "group_limited" && router_.base == "sigmoid"))
    return "raise " + raised("--router-bias-update-rate", router_.bias_update_rate, 0.01) + " or "
           + aux(0.01);
  if (name == "noisy_top_k")
    return "raise " + raised("--router-loss importance and load", coefficient_of("importance"), 0.1);
  // A bias alone is too slow for one expert per token.
  const auto* balanced = router_.experts_per_token > 1 ? "sigmoid_bias, sinkhorn, expert_choice"
                                                       : "sinkhorn, expert_choice";
  return "raise " + aux(0.1) + (wider ? ", choose more experts per token," : "")
         + " or choose a router that balances by itself (" + balanced + ")";
}

} // namespace troupe
