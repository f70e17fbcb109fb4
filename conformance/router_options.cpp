#include "conformance/operations.hpp"
#include "model/routing/make_router.hpp"

#include <algorithm>

namespace troupe::conformance {

namespace {

void read_group_limit(const options& o, router_options& out) {
  out.base = o.text("base");
  out.scale = o.number("scale");
  out.groups = static_cast<std::uint32_t>(o.integer("n_group", 1));
  out.groups_kept = static_cast<std::uint32_t>(o.integer("topk_group", 1));
  out.group_mask = o.text("group_mask");
}

} // namespace

router_options read_router(const options& o) {
  router_options out;
  out.losses.clear();
  out.name = o.text("router");
  const auto k = [&] { out.experts_per_token = static_cast<std::uint32_t>(o.integer("k", 1)); };
  const auto fixed_k = [&](std::uint32_t n) { out.experts_per_token = n; };
  if (out.name == "softmax") {
    o.allow({"router", "k", "renormalise"});
    k();
    out.renormalise = o.flag("renormalise");
  } else if (out.name == "softmax_post" || out.name == "quantile") {
    o.allow({"router", "k"});
    k();
  } else if (out.name == "switch") {
    o.allow({"router"});
    fixed_k(1);
  } else if (out.name == "sigmoid_bias") {
    o.allow({"router", "k", "scale"});
    k();
    out.scale = o.number("scale");
  } else if (out.name == "group_limited") {
    o.allow({"router", "base", "k", "scale", "n_group", "topk_group", "group_mask"});
    k();
    read_group_limit(o, out);
  } else if (out.name == "noisy_top_k") {
    o.allow({"router", "k", "floor"});
    k();
    out.noise_floor = o.number("floor");
  } else if (out.name == "gshard") {
    o.allow({"router", "second", "threshold"});
    fixed_k(2);
    out.second = o.text("second");
    if (out.second == "threshold") out.second_threshold = o.number("threshold");
  } else if (out.name == "sinkhorn") {
    o.allow({"router", "k", "training", "tol", "eps"});
    k();
    out.sinkhorn_tolerance = o.number("tol");
    out.sinkhorn_epsilon = o.number("eps");
  } else if (out.name == "expert_choice") {
    o.allow({"router", "capacity_factor"});
    out.choice_capacity_factor = o.number("capacity_factor");
  } else if (out.name == "hash") {
    o.allow({"router", "E", "seed"});
    fixed_k(1);
    out.hash_seed = o.unsigned_integer("seed");
  } else {
    throw case_error("unknown router '" + out.name + "'");
  }
  return out;
}

bool in_training(const options& o) {
  return o.text("router") != "sinkhorn" || o.flag("training");
}

std::unique_ptr<router<double>> make_rule(const options& o, std::int64_t experts) {
  return taken(make_router<double>(read_router(o), static_cast<std::uint32_t>(experts)));
}

std::vector<double> draws_of(const router_needs& needs, const values& in, std::int64_t tokens,
                             std::int64_t experts) {
  using draw = router_needs::draw_kind;
  if (needs.draws == draw::none) return {};
  const std::string name = needs.draws == draw::normal_logit ? "normal" : "uniform";
  const auto& v = need_numbers(in, name, needs.draws == draw::uniform_token ? 1 : 2);
  if (needs.draws == draw::uniform_token)
    need_shape(v, name, {tokens});
  else
    need_shape(v, name, {tokens, experts});
  return v.numbers;
}

namespace {

const routing_detail<double>* detail(const routing<double>& r, const std::string& name) {
  const auto i = std::find_if(r.details.begin(), r.details.end(),
                              [&](const auto& d) { return d.name == name; });
  return i == r.details.end() ? nullptr : &*i;
}

/// Expert choice: its experts and gates as a CSR by token.
void by_token(const routing<double>& r, std::int64_t experts, values& out) {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int64_t> chosen;
  std::vector<double> gates;
  for (std::size_t i = 0; i < r.experts.size(); ++i) {
    if (r.experts[i] >= 0) {
      chosen.push_back(r.experts[i]);
      gates.push_back(r.gates[i]);
    }
    if ((i + 1) % static_cast<std::size_t>(r.slots) == 0)
      offsets.push_back(static_cast<std::int64_t>(chosen.size()));
  }
  const auto& tokens = *detail(r, "tokens");
  out["C"] = scalar_integer(tokens.columns);
  out["tokens"] = integers({experts, tokens.columns}, tokens.values);
  out["offsets"] = integers({r.tokens + 1}, offsets);
  out["experts"] = integers({static_cast<std::int64_t>(chosen.size())}, chosen);
  out["gates"] = numbers({static_cast<std::int64_t>(gates.size())}, gates);
}

} // namespace

values routing_values(const options& o, const router_needs& needs, const routing<double>& r,
                      std::int64_t experts) {
  values out;
  out["counts"] = integers({experts}, r.counts);
  const auto name = o.text("router");
  if (name == "expert_choice") {
    by_token(r, experts, out);
    return out;
  }
  out["experts"] = integers({r.tokens, r.slots}, r.experts);
  if (needs.bias == router_needs::bias_rule::quantile) {
    out["beta"] = numbers({experts}, detail(r, "beta")->values);
    return out;
  }
  out["gates"] = numbers({r.tokens, r.slots}, r.gates);
  for (const auto* matrix : {"H", "sigma", "plan"})
    if (const auto* d = detail(r, matrix)) out[matrix] = numbers({d->rows, d->columns}, d->values);
  if (const auto* d = detail(r, "iterations"))
    out["iterations"] = scalar_integer(static_cast<std::int64_t>(d->values[0]));
  if (name == "gshard") {
    std::vector<std::int64_t> kept;
    for (std::int64_t t = 0; t < r.tokens; ++t) kept.push_back(r.in_use(2 * t + 1));
    out["second_kept"] = booleans({r.tokens}, kept);
  }
  return out;
}

} // namespace troupe::conformance
