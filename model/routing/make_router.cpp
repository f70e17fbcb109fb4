#include "model/routing/make_router.hpp"

#include "model/routing/routers.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>

namespace troupe {

namespace {

tl::unexpected<error> refuse(const std::string& what, const std::string& got, const std::string& limit) {
  return fail(error_code::usage, "[router] " + what + ": got " + got + ", limit " + limit);
}

std::string shown(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

expected<void> check_slots(const router_options& o, std::uint32_t experts, std::uint32_t most) {
  const auto k = o.experts_per_token;
  if (k < 1 || k > most)
    return refuse("experts per token", std::to_string(k) + " with router " + o.name,
                  "1 to " + std::to_string(most) + " of " + std::to_string(experts) + " experts");
  return {};
}

expected<void> check_exactly(const router_options& o, std::uint32_t k, const std::string& why) {
  if (o.experts_per_token != k)
    return refuse("experts per token", std::to_string(o.experts_per_token) + " with router " + o.name,
                  std::to_string(k) + " (" + why + ")");
  return {};
}

expected<void> check_positive(const char* what, double value) {
  if (!(std::isfinite(value) && value > 0))
    return refuse(what, std::to_string(value), "a finite number above 0");
  return {};
}

expected<void> check_names(const router_options& o) {
  const auto is = [](const std::string& name, std::initializer_list<const char*> allowed) {
    return std::any_of(allowed.begin(), allowed.end(), [&](const char* a) { return name == a; });
  };
  if (o.name == "group_limited" && !is(o.base, {"sigmoid", "softmax"}))
    return refuse("base of group_limited", "'" + o.base + "'", "sigmoid | softmax");
  if (o.name == "group_limited" && !is(o.group_mask, {"neg_inf", "zero"}))
    return refuse("group mask", "'" + o.group_mask + "'", "neg_inf | zero");
  if (o.name == "gshard" && !is(o.second, {"random", "threshold", "gumbel", "all"}))
    return refuse("second expert of gshard", "'" + o.second + "'", "random | threshold | gumbel | all");
  return {};
}

expected<void> check_groups(const router_options& o, std::uint32_t experts) {
  if (o.groups < 1 || experts % o.groups != 0)
    return refuse("groups", std::to_string(o.groups),
                  "a divisor of the " + std::to_string(experts) + " experts");
  if (o.groups_kept < 1 || o.groups_kept > o.groups)
    return refuse("groups kept", std::to_string(o.groups_kept),
                  "1 to the " + std::to_string(o.groups) + " groups");
  return check_slots(o, experts, experts); // those of the groups left out come last
}

expected<void> check(const router_options& o, std::uint32_t experts) {
  if (auto good = check_names(o); !good) return good;
  if (o.name == "switch" || o.name == "hash" || o.name == "task")
    return check_exactly(o, 1, "it sends a token to one expert");
  if (o.name == "dense") return check_exactly(o, experts, "it sends a token to all experts");
  if (o.name == "expert_choice")
    return check_positive("capacity factor of expert_choice", o.choice_capacity_factor);
  if (o.name == "quantile") return check_slots(o, experts, experts - 1);
  if (o.name == "gshard") {
    if (experts < 2) return refuse("experts", std::to_string(experts) + " with router gshard", "2 or more");
    return check_exactly(o, 2, "it chooses a first and a second expert");
  }
  if (o.name == "sigmoid_bias" || o.name == "group_limited")
    if (!(o.scale >= 1 / o.factor_max && o.scale <= o.factor_max))
      return refuse("scale", shown(o.scale), shown(1 / o.factor_max) + " to " + shown(o.factor_max));
  if (o.name == "group_limited") return check_groups(o, experts);
  if (o.name == "noisy_top_k" && !(o.noise_floor >= 0 && o.noise_floor <= o.factor_max))
    return refuse("noise floor", shown(o.noise_floor), "0 to " + shown(o.factor_max));
  if (o.name == "sinkhorn") {
    if (auto good = check_positive("tolerance of sinkhorn", o.sinkhorn_tolerance); !good) return good;
    if (auto good = check_positive("epsilon of sinkhorn", o.sinkhorn_epsilon); !good) return good;
  }
  return check_slots(o, experts, experts);
}

second_expert second_of(const std::string& name) {
  return name == "random"      ? second_expert::random
         : name == "threshold" ? second_expert::threshold
         : name == "gumbel"    ? second_expert::gumbel
                               : second_expert::all;
}

} // namespace

template <class Real>
expected<std::unique_ptr<router<Real>>> make_router(const router_options& o, std::uint32_t experts) {
  if (auto good = check(o, experts); !good) return tl::unexpected(good.error());
  const auto k = static_cast<std::int64_t>(o.experts_per_token);
  const group_limit limit{o.groups, o.groups_kept, o.group_mask == "zero"};
  if (o.name == "softmax") return make_softmax<Real>(k, o.renormalise);
  if (o.name == "softmax_post") return make_softmax_post<Real>(k);
  if (o.name == "switch") return make_softmax<Real>(1, false);
  if (o.name == "dense") return make_softmax<Real>(experts, false);
  if (o.name == "sigmoid_bias") return make_sigmoid_bias<Real>(k, o.scale);
  if (o.name == "group_limited")
    return o.base == "sigmoid" ? make_group_limited_sigmoid<Real>(k, o.scale, limit)
                               : make_group_limited_softmax<Real>(k, o.scale, limit);
  if (o.name == "noisy_top_k") return make_noisy_top_k<Real>(k, o.noise_floor);
  if (o.name == "gshard") return make_gshard<Real>(second_of(o.second), o.second_threshold);
  if (o.name == "sinkhorn") return make_sinkhorn<Real>(k, o.sinkhorn_tolerance, o.sinkhorn_epsilon);
  if (o.name == "expert_choice") return make_expert_choice<Real>(o.choice_capacity_factor);
  if (o.name == "hash") return make_hash<Real>(o.hash_seed);
  if (o.name == "task") return make_task<Real>();
  if (o.name == "quantile") return make_quantile<Real>(k);
  return refuse("name", "'" + o.name + "'",
                "softmax | softmax_post | switch | sigmoid_bias | group_limited | noisy_top_k | gshard | "
                "sinkhorn | expert_choice | hash | task | "
                "dense | quantile");
}

template expected<std::unique_ptr<router<float>>> make_router(const router_options&, std::uint32_t);
template expected<std::unique_ptr<router<double>>> make_router(const router_options&, std::uint32_t);

} // namespace troupe
