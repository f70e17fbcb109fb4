#include "model/trunks/classifier_parts.hpp"

#include "model/random.hpp"
#include "model/routing/make_router.hpp"

#include <type_traits>

namespace troupe {

namespace {

template <class Real>
expected<std::unique_ptr<router<Real>>> router_of(const model_options& model, const extensions& more) {
  if (const auto i = more.routers.find(model.router.name); i != more.routers.end()) {
    if constexpr (std::is_same_v<Real, float>)
      return i->second.make_f32(model.router, model.experts);
    else
      return i->second.make_f64(model.router, model.experts);
  }
  return make_router<Real>(model.router, model.experts);
}

template <class Real>
expected<std::vector<weighted_loss<Real>>> losses_of(const model_options& model, const router_needs& needs) {
  std::vector<weighted_loss<Real>> out;
  for (const auto& option : model.router.losses) {
    if (!needs.gate && option.coefficient == 0) continue;
    if (!needs.gate)
      return fail(error_code::usage,
                  "[router] loss '" + option.name + "' with router " + model.router.name
                    + ": got a coefficient above 0, limit 0, because the router has no logits");
    const loss_formula formula{.name = option.name,
                               .k = needs.slots,
                               .score = needs.score,
                               .sequence_length = model.router.sequence_length,
                               .noise_floor = model.router.noise_floor};
    if (option.name == "load" && !needs.noise_gate)
      return fail(error_code::usage, "[router] loss '" + option.name + "': got router " + model.router.name
                                       + ", limit noisy_top_k, whose noisy logits it is computed from");
    auto loss = make_loss<Real>(formula, model.experts);
    if (!loss) return tl::unexpected(loss.error());
    out.push_back({option.name, option.coefficient, std::move(*loss)});
  }
  return out;
}

template <class Real>
expected<void> set_capacity(classifier_parts<Real>& parts, const router_options& o) {
  const auto policy = capacity_policy_of(o.capacity_policy);
  if (!policy) return tl::unexpected(policy.error());
  parts.policy = *policy;
  parts.capacity_factor = o.capacity_factor;
  parts.capacity_factor_eval = o.capacity_factor_eval;
  parts.capacity_minimum = o.capacity_minimum;
  parts.renormalise_after_drop = o.renormalise_after_drop;
  return {};
}

} // namespace

template <class Real>
expected<classifier_parts<Real>> make_classifier_parts(const configuration& config, const model_shape& widths,
                                                       const extensions& more) {
  const auto& model = config.model;
  classifier_parts<Real> parts;
  if (model.task != "classify" && model.task != "mean_square")
    return fail(error_code::usage, "[model] task: got '" + model.task + "', limit classify | mean_square");
  parts.task = model.task == "classify" ? classifier_parts<Real>::task_kind::classify
                                        : classifier_parts<Real>::task_kind::mean_square;
  if (widths.input_width < 1 || widths.output_width < 1)
    return fail(error_code::usage, "[model] widths: got " + std::to_string(widths.input_width) + " in, "
                                     + std::to_string(widths.output_width) + " out, limit 1 or more");
  parts.experts = model.experts;
  parts.width = widths.input_width;
  parts.output_width = widths.output_width;
  if (!widths.input_mean.empty() && std::ssize(widths.input_mean) != widths.input_width)
    return fail(error_code::usage, "[model] mean of the inputs: got "
                                     + std::to_string(widths.input_mean.size()) + " numbers, limit the "
                                     + std::to_string(widths.input_width) + " of a row, or none");
  parts.input_mean = widths.input_mean;
  parts.input_rows = model.learn_inputs ? static_cast<std::int64_t>(widths.input_rows) : 0;
  parts.shared_expert = model.shared_experts > 0;
  parts.shared_gate = parts.shared_expert && model.shared_expert_gate;
  auto rule = router_of<Real>(model, more);
  if (!rule) return tl::unexpected(rule.error());
  parts.routing_rule = std::move(*rule);
  auto losses = losses_of<Real>(model, parts.routing_rule->needs());
  if (!losses) return tl::unexpected(losses.error());
  parts.losses = std::move(*losses);
  if (auto good = set_capacity(parts, model.router); !good) return tl::unexpected(good.error());
  parts.draw = [seed = config.schedule.seed](const microbatch_context& c, const std::string& purpose,
                                             bool normal, std::size_t count) {
    const philox_stream stream(seed, purpose, 0, c.ordinal, c.microbatch);
    std::vector<Real> out(count);
    normal ? stream.fill_normal<Real>(out) : stream.fill_uniform<Real>(out);
    return out;
  };
  return parts;
}

template expected<classifier_parts<float>> make_classifier_parts(const configuration&, const model_shape&,
                                                                 const extensions&);
template expected<classifier_parts<double>> make_classifier_parts(const configuration&, const model_shape&,
                                                                  const extensions&);

} // namespace troupe
