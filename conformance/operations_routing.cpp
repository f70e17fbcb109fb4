#include "conformance/operations.hpp"
#include "model/routing/bias_update.hpp"
#include "model/routing/capacity.hpp"
#include "model/routing/health.hpp"
#include "model/routing/make_router.hpp"

#include <algorithm>
#include <numeric>

namespace troupe::conformance {

namespace {

/// A router on given logits: everything that it sees, kept alive.
struct routed_case {
  routed_case(const options& o, const values& in) {
    const bool hash = o.text("router") == "hash";
    if (hash) {
      ids = need_integers(in, "token_ids", 1).integers;
      experts = o.integer("E", 1);
    } else {
      const auto& v = need_numbers(in, "z", 2);
      z = v.numbers;
      experts = v.shape[1];
    }
    tokens = hash ? static_cast<std::int64_t>(ids.size()) : in.at("z").shape[0];
    if (tokens < 1 || experts < 1) throw case_error("there are no tokens or no experts");
    rule = make_rule(o, experts);
    needs = rule->needs();
    seen.logits = {hash ? nullptr : z.data(), tokens, experts};
    if (!hash) {
      scores = softmax_rows(seen.logits);
      seen.probabilities = scores.view(experts);
      seen.log_partition = scores.log_partition;
    }
    const auto matrix = [&](const char* name) {
      const auto& v = need_numbers(in, name, 2);
      need_shape(v, name, {tokens, experts});
      return v.numbers;
    };
    if (needs.noise_gate) {
      raw = matrix("raw");
      seen.noise_logits = {raw.data(), tokens, experts};
    }
    if (needs.bias != router_needs::bias_rule::none) {
      const auto* name = needs.bias == router_needs::bias_rule::quantile ? "beta" : "bias";
      const auto& v = need_numbers(in, name, 1);
      need_shape(v, name, {experts});
      bias = v.numbers;
      seen.bias = bias;
    }
    draws = draws_of(needs, in, tokens, experts);
    seen.draws = draws;
    seen.ids = ids;
    seen.training = in_training(o);
    seen.details = true;
    result = rule->route(seen);
  }

  routed_case(const routed_case&) = delete;

  std::int64_t tokens = 0;
  std::int64_t experts = 0;
  std::vector<double> z, raw, bias, draws;
  std::vector<std::int64_t> ids;
  gate_scores<double> scores;
  std::unique_ptr<router<double>> rule;
  router_needs needs;
  routing_input<double> seen;
  routing<double> result;
};

} // namespace

values route(const options& o, const values& in) {
  const routed_case r(o, in);
  return routing_values(o, r.needs, r.result, r.experts);
}

values route_gradient(const options& o, const values& in) {
  const routed_case r(o, in);
  if (!r.needs.gate || r.needs.bias == router_needs::bias_rule::quantile)
    throw case_error("router '" + o.text("router") + "' has no gates with a gradient here");
  const auto& cotangent = need_numbers(in, "cotangent", 2);
  need_shape(cotangent, "cotangent", {r.tokens, r.experts});
  std::vector<double> gate_gradient(r.result.experts.size());
  for (std::size_t i = 0; i < gate_gradient.size(); ++i)
    if (r.result.in_use(static_cast<std::int64_t>(i)))
      gate_gradient[i] =
        cotangent.numbers[static_cast<std::int64_t>(i) / r.result.slots * r.experts + r.result.experts[i]];
  logit_gradient<double> gradient{std::vector<double>(r.z.size()), std::vector<double>(r.raw.size())};
  r.rule->backward(r.seen, r.result, gate_gradient, gradient);
  values out{{"grad_z", numbers({r.tokens, r.experts}, gradient.logits)}};
  if (r.needs.noise_gate) out["grad_raw"] = numbers({r.tokens, r.experts}, gradient.noise_logits);
  return out;
}

values bias_update(const options& o, const values& in) {
  o.allow({"rate", "recentre", "steps", "k"});
  auto bias = need_numbers(in, "bias", 1).numbers;
  const auto experts = static_cast<std::int64_t>(bias.size());
  const auto rate = o.number("rate");
  const auto recentre = o.flag("recentre");
  if (in.contains("counts")) {
    const auto& counts = need_integers(in, "counts", 1);
    need_shape(counts, "counts", {experts});
    update_bias<double>(bias, std::vector<double>(counts.integers.begin(), counts.integers.end()), rate,
                        recentre);
    return {{"bias", numbers({experts}, bias)}};
  }
  const auto& z = need_numbers(in, "z", 2);
  need_shape(z, "z", {z.shape[0], experts});
  router_options chosen;
  chosen.name = "sigmoid_bias";
  chosen.experts_per_token = static_cast<std::uint32_t>(o.integer("k", 1));
  chosen.losses.clear();
  const auto rule = taken(make_router<double>(chosen, static_cast<std::uint32_t>(experts)));
  routing_input<double> seen;
  seen.logits = {z.numbers.data(), z.shape[0], experts};
  const auto steps = o.integer("steps", 0);
  std::vector<std::uint64_t> history;
  for (std::int64_t i = 0; i < steps; ++i) {
    seen.bias = bias;
    const auto counts = rule->route(seen).counts;
    history.insert(history.end(), counts.begin(), counts.end());
    update_bias<double>(bias, std::vector<double>(counts.begin(), counts.end()), rate, recentre);
  }
  return {{"bias", numbers({experts}, bias)}, {"counts", integers({steps, experts}, history)}};
}

namespace {

router_needs::score_kind score_of(const options& o) {
  const auto name = o.text("score");
  if (name != "softmax" && name != "sigmoid") throw case_error("unknown score '" + name + "'");
  return name == "softmax" ? router_needs::score_kind::softmax : router_needs::score_kind::sigmoid;
}

std::vector<std::int64_t> blocks_of(const options& o, std::int64_t tokens) {
  const auto rows = o.integers("rows");
  const auto scope = o.text("scope");
  if (scope != "microbatch" && scope != "global") throw case_error("unknown scope '" + scope + "'");
  if (std::accumulate(rows.begin(), rows.end(), std::int64_t{0}) != tokens)
    throw case_error("the rows do not add up to the tokens");
  return scope == "global" ? std::vector<std::int64_t>{tokens} : rows;
}

loss_formula read_loss(const options& o, std::int64_t tokens) {
  loss_formula f;
  f.name = o.text("loss");
  if (f.name == "first_choice" || f.name == "z" || f.name == "variance") {
    o.allow({"loss"});
    return f;
  }
  if (f.name == "switch") {
    o.allow({"loss", "k", "score", "scope", "rows"});
    f.score = score_of(o);
    f.rows = blocks_of(o, tokens);
  } else if (f.name == "sequence") {
    o.allow({"loss", "k", "score", "sequences"});
    f.score = score_of(o);
    const auto sequences = o.integer("sequences", 1);
    if (tokens % sequences != 0) throw case_error("the sequences do not divide the tokens");
    f.sequence_length = tokens / sequences;
  } else if (f.name == "hf" || f.name == "nanomoe") {
    o.allow({"loss", "k"});
  } else if (f.name == "tutel_load_importance") {
    o.allow({"loss", "k", "noise"});
    f.noise = o.number("noise");
  } else if (f.name == "importance" || f.name == "load") {
    o.allow({"loss", "k", "floor"});
    f.noise_floor = o.number("floor");
  } else {
    throw case_error("unknown loss '" + f.name + "'");
  }
  f.k = o.integer("k", 1);
  return f;
}

/// A loss of noisy top-k gating, whose gates carry `importance` on to the logits.
values noisy_loss(const router_loss<double>& loss, const loss_formula& formula, loss_input<double> seen,
                  const values& in) {
  const auto& shape = in.at("z").shape;
  const auto [rows, experts] = std::pair(seen.logits.rows, seen.logits.columns);
  for (const auto* name : {"raw", "normal"}) need_shape(need_numbers(in, name, 2), name, shape);
  seen.noise_logits = {in.at("raw").numbers.data(), rows, experts};
  seen.normal = in.at("normal").numbers;
  router_options o;
  o.name = "noisy_top_k";
  o.experts_per_token = static_cast<std::uint32_t>(formula.k);
  o.noise_floor = formula.noise_floor;
  const auto rule = taken(make_router<double>(o, static_cast<std::uint32_t>(experts)));
  routing_input<double> routed;
  routed.logits = seen.logits;
  routed.noise_logits = seen.noise_logits;
  routed.draws = seen.normal;
  const auto chosen = rule->route(routed);
  seen.chosen = &chosen;
  const std::vector<double> zeros(static_cast<std::size_t>(rows * experts));
  loss_gradient<double> gradient{{zeros, zeros}, std::vector<double>(chosen.gates.size())};
  values out{{"value", scalar(loss.evaluate(seen, 1, &gradient))}};
  rule->backward(routed, chosen, gradient.gates, gradient);
  out["grad_z"] = numbers(shape, gradient.logits);
  out["grad_raw"] = numbers(shape, gradient.noise_logits);
  out[formula.name] = numbers({experts}, loss.sums(seen));
  return out;
}

} // namespace

values loss(const options& o, const values& in) {
  const auto& z = need_numbers(in, "z", o.text("loss") == "hf" ? 3 : 2);
  const auto experts = z.shape.back();
  if (z.elements() == 0) throw case_error("there are no logits");
  const auto tokens = z.elements() / experts;
  const auto formula = read_loss(o, tokens);
  const auto loss = taken(make_loss<double>(formula, experts));
  const matrix_view<double> logits{z.numbers.data(), tokens, experts};
  const auto scores = softmax_rows(logits);
  const loss_input<double> seen{
    .logits = logits, .probabilities = scores.view(experts), .log_partition = scores.log_partition};
  if (formula.name == "importance" || formula.name == "load") return noisy_loss(*loss, formula, seen, in);
  loss_gradient<double> gradient{{std::vector<double>(z.numbers.size()), {}}, {}};
  values out{{"value", scalar(loss->evaluate(seen, 1, &gradient))}};
  out["grad_z"] = numbers(z.shape, gradient.logits);
  return out;
}

values capacity(const options& o, const values& in) {
  o.allow({"policy", "E", "factor", "minimum", "renormalise_after_drop"});
  const auto policy = taken(capacity_policy_of(o.text("policy")));
  const auto experts = o.integer("E", 1);
  const auto& chosen = need_integers(in, "experts", 2);
  const auto& gates = need_numbers(in, "gates", 2);
  need_shape(gates, "gates", chosen.shape);
  routing<double> r;
  r.tokens = chosen.shape[0];
  r.slots = chosen.shape[1];
  r.gates = gates.numbers;
  for (const auto e : chosen.integers) {
    if (e < 0 || e >= experts) throw case_error("an expert is out of range");
    r.experts.push_back(static_cast<std::int32_t>(e));
  }
  r.counts.resize(static_cast<std::size_t>(experts));
  std::vector<double> priority;
  if (policy == capacity_policy::bpr || policy == capacity_policy::random) {
    const auto& v = need_numbers(in, "priority", policy == capacity_policy::bpr ? 1 : 2);
    need_shape(v, "priority", policy == capacity_policy::bpr ? std::vector{r.tokens} : chosen.shape);
    priority = v.numbers;
  }
  const auto limit = capacity_of(r.tokens, r.slots, experts, o.number("factor"), o.integer("minimum", 0));
  const auto s = drop_over_capacity<double>(r, policy, limit, priority, o.flag("renormalise_after_drop"));
  return {{"C", scalar_integer(limit)},
          {"kept", booleans(chosen.shape, s.kept)},
          {"counts", integers({experts}, s.counts)},
          {"gates", numbers(chosen.shape, s.gates)}};
}

values metrics(const options& o, const values& in) {
  o.allow({});
  const auto& z = need_numbers(in, "z", 2);
  const auto& counts = need_integers(in, "counts", 1);
  need_shape(counts, "counts", {z.shape[1]});
  const matrix_view<double> logits{z.numbers.data(), z.shape[0], z.shape[1]};
  const auto scores = softmax_rows(logits);
  const auto health = health_of(std::vector<std::uint64_t>(counts.integers.begin(), counts.integers.end()));
  return {{"load_max_over_mean", scalar(health.load_max_over_mean)},
          {"load_min_over_mean", scalar(health.load_min_over_mean)},
          {"balancedness", scalar(health.balancedness)},
          {"load_cv_population", scalar(health.load_cv_population)},
          {"router_entropy_nats",
           scalar(router_entropy<double>(logits, scores.view(z.shape[1]), scores.log_partition))},
          {"load_entropy_nats", scalar(health.load_entropy_nats)},
          {"dead_experts", scalar_integer(static_cast<std::int64_t>(health.dead_experts))}};
}

} // namespace troupe::conformance
