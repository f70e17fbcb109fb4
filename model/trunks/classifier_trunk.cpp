#include "model/trunks/classifier_trunk.hpp"

#include "messages/check.hpp"
#include "model/routing/functions.hpp"
#include "model/routing/health.hpp"
#include "model/routing/selection.hpp"
#include "model/run_failure.hpp"
#include "model/trunks/classifier_tape.hpp"
#include "model/trunks/gate_kernels.hpp"
#include "model/trunks/input_mean.hpp"
#include "model/trunks/slot_sums.hpp"
#include "model/trunks/wide_gate.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <utility>

namespace troupe {

namespace {

template <class Real>
class classifier_trunk : public trunk_module {
public:
  using tape_type = classifier_tape<Real>;

  explicit classifier_trunk(classifier_parts<Real> parts)
    : parts_(std::move(parts)), rule_(*parts_.routing_rule), needs_(rule_.needs()), layout_(parts_.layout()) {
    // nop
  }

  std::uint16_t layers() const override { return 1; }

  void share_work(parallel_for share) override { share_ = std::move(share); }

  double flops_per_row() const override {
    return 2.0 * static_cast<double>(parts_.experts * parts_.width) * (needs_.noise_gate ? 2 : 1);
  }

  bool input_gradient_wanted(std::uint16_t) const override {
    return parts_.input_rows > 0 || parts_.input_gradient;
  }

  std::unique_ptr<trunk_tape> begin(const microbatch_context& context, const batch& data,
                                    const tensor& dense) override;
  routed forward(trunk_tape& tape, std::uint16_t layer) override;
  void combine(trunk_tape& tape, std::uint16_t layer, slot_rows outputs) override;
  microbatch_report loss(trunk_tape& tape) override;
  tensor outputs(const trunk_tape& tape) const override {
    auto& t = static_cast<const tape_type&>(tape);
    return tensor::of<Real>({t.tokens(), parts_.output_width}, t.y);
  }

  output_gradient backward(trunk_tape& tape, std::uint16_t layer) override;
  void input_gradient(trunk_tape& tape, std::uint16_t layer, slot_rows gradients) override;
  tensor dense_gradient(trunk_tape& tape) override;
  void fold(tensor& into, const tensor& term) override;

private:
  static tape_type& at(trunk_tape& tape) { return static_cast<tape_type&>(tape); }

  const Real* parameters(const tape_type& t, std::int64_t offset) const {
    return t.dense.template as<Real>().data() + offset;
  }

  std::span<const Real> input_mean(const tape_type& t) const {
    return {parameters(t, layout_.input_mean), static_cast<std::size_t>(parts_.width)};
  }

  void check_ids(std::span<const std::int64_t> ids, std::int64_t limit, const char* what) const;
  tensor selected_inputs(const tape_type& t) const;
  void gate(const tape_type& t, std::int64_t weight, std::vector<Real>& logits) const;
  void add_gate_gradient_of(const tape_type& t, const std::vector<Real>& logits, Real* to) const;
  void compute_logits(tape_type& t) const;
  void route(tape_type& t) const;
  void drop(tape_type& t) const;
  void fill_slots(tape_type& t) const;
  loss_input<Real> seen_by_losses(const tape_type& t) const;
  std::vector<named_value> router_losses(tape_type& t) const;
  layer_health health(const tape_type& t, std::vector<named_value> losses) const;
  std::vector<std::uint64_t> expert_class(const tape_type& t) const;
  void gate_gradient(tape_type& t) const;

  classifier_parts<Real> parts_;
  const router<Real>& rule_;
  router_needs needs_;
  classifier_layout layout_;
  parallel_for share_ = alone;
};

// -- forward
// ----------------------------------------------------------------------------------------------------------

template <class Real>
void classifier_trunk<Real>::check_ids(std::span<const std::int64_t> ids, std::int64_t limit,
                                       const char* what) const {
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < 0 || ids[i] >= limit)
      throw run_failure({error_code::malformed, std::string("[trunk] ") + what + " of row "
                                                  + std::to_string(i) + ": got " + std::to_string(ids[i])
                                                  + ", limit 0 to " + std::to_string(limit - 1)});
}

template <class Real>
std::unique_ptr<trunk_tape> classifier_trunk<Real>::begin(const microbatch_context& context,
                                                          const batch& data, const tensor& dense) {
  using ids = router_needs::id_kind;
  const auto rows = data.inputs.rows();
  TROUPE_CHECK(rows > 0 && data.inputs.dims().rank() == 2 && data.inputs.row_elements() == parts_.width,
               "inputs: got " + to_string(data.inputs.dims()) + ", expected [rows, "
                 + std::to_string(parts_.width) + "]");
  TROUPE_CHECK(dense.type() == dtype_of<Real>() && dense.dims().elements() == layout_.size,
               "dense parameters: got " + to_string(dense.dims()) + ", expected "
                 + std::to_string(layout_.size));
  const bool labels = parts_.task == classifier_parts<Real>::task_kind::classify || needs_.ids == ids::label;
  TROUPE_CHECK(!labels || data.labels.present(), "labels: got none, the task needs them");
  TROUPE_CHECK((parts_.input_rows == 0 && needs_.ids != ids::token) || data.ids.present(),
               "ids: got none, the model needs them");
  for (const auto* t : {&data.labels, &data.ids})
    TROUPE_CHECK(!t->present() || t->rows() == rows,
                 "labels or ids: got " + std::to_string(t->rows()) + ", expected " + std::to_string(rows));
  if (labels)
    check_ids(data.labels.as<std::int64_t>(),
              parts_.task == classifier_parts<Real>::task_kind::classify ? parts_.output_width : INT64_MAX,
              "label");
  if (parts_.input_rows > 0) check_ids(data.ids.as<std::int64_t>(), parts_.input_rows, "id");
  auto tape = std::make_unique<tape_type>();
  tape->context = context;
  tape->data = data;
  tape->dense = dense;
  return tape;
}

template <class Real>
tensor classifier_trunk<Real>::selected_inputs(const tape_type& t) const {
  const auto ids = t.data.ids.template as<std::int64_t>();
  auto out = tensor::allocate(dtype_of<Real>(), {static_cast<std::int64_t>(ids.size()), parts_.width});
  auto to = out.template mutable_as<Real>().begin();
  for (const auto id : ids)
    to = std::copy_n(parameters(t, layout_.inputs) + id * parts_.width, parts_.width, to);
  return out;
}

template <class Real>
routed classifier_trunk<Real>::forward(trunk_tape& tape, std::uint16_t) {
  auto& t = at(tape);
  t.rows = parts_.input_rows > 0 ? selected_inputs(t) : t.data.inputs;
  compute_logits(t);
  route(t);
  drop(t);
  fill_slots(t);
  return {t.rows, t.experts};
}

/// logits [T, E] = (rows − their mean)·weightᵀ.
template <class Real>
void classifier_trunk<Real>::gate(const tape_type& t, std::int64_t weight, std::vector<Real>& logits) const {
  logits.resize(static_cast<std::size_t>(t.tokens() * parts_.experts));
  gate_product(t.rows, parameters(t, weight), parts_.experts, logits.data(), share_);
  if (layout_.input_mean != classifier_layout::absent)
    take_mean_off_logits<Real>(input_mean(t), parameters(t, weight), parts_.experts, logits);
}

/// to [E, width] += logitsᵀ·(rows − their mean), of dL/dz.
template <class Real>
void classifier_trunk<Real>::add_gate_gradient_of(const tape_type& t, const std::vector<Real>& logits,
                                                  Real* to) const {
  add_gate_gradient(t.rows, logits.data(), parts_.experts, to, share_);
  if (layout_.input_mean != classifier_layout::absent)
    take_mean_off_gradient<Real>(input_mean(t), logits, parts_.experts, to);
}

template <class Real>
void classifier_trunk<Real>::compute_logits(tape_type& t) const {
  const auto rows = t.tokens();
  auto& in = t.seen;
  in.logits = {nullptr, rows, parts_.experts};
  in.training = t.context.training;
  if (needs_.gate) {
    gate(t, layout_.weight, t.logits);
    in.logits.data = t.logits.data();
    if (auto good = check_finite(in.logits, 0); !good) throw run_failure(good.error());
    t.scores = softmax_rows(in.logits);
    in.probabilities = t.scores.view(parts_.experts);
    in.log_partition = t.scores.log_partition;
  }
  if (needs_.noise_gate) {
    gate(t, layout_.noise_weight, t.noise_logits);
    in.noise_logits = {t.noise_logits.data(), rows, parts_.experts};
    if (auto good = check_finite(in.noise_logits, 0); !good) throw run_failure(good.error());
  }
}

template <class Real>
void classifier_trunk<Real>::route(tape_type& t) const {
  using draw = router_needs::draw_kind;
  auto& in = t.seen;
  if (needs_.bias != router_needs::bias_rule::none)
    in.bias = {parameters(t, layout_.bias), static_cast<std::size_t>(parts_.experts)};
  if (needs_.ids == router_needs::id_kind::token) in.ids = t.data.ids.template as<std::int64_t>();
  if (needs_.ids == router_needs::id_kind::label) in.ids = t.data.labels.template as<std::int64_t>();
  if (needs_.draws != draw::none && t.context.training) {
    const auto count = t.tokens() * (needs_.draws == draw::uniform_token ? 1 : parts_.experts);
    t.draws = parts_.draw(t.context, "router", needs_.draws == draw::normal_logit,
                          static_cast<std::size_t>(count));
    in.draws = t.draws;
  }
  t.chosen = rule_.route(in);
  require_sound(t.chosen, parts_.experts); // the rule may come from outside
}

template <class Real>
void classifier_trunk<Real>::drop(tape_type& t) const {
  const auto& r = t.chosen;
  if (parts_.policy == capacity_policy::none && r.used.empty()) return;
  const bool limited = parts_.policy != capacity_policy::none;
  const auto factor = t.context.training ? parts_.capacity_factor : parts_.capacity_factor_eval;
  const auto capacity = capacity_of(r.tokens, r.slots, parts_.experts, factor, parts_.capacity_minimum);
  std::vector<Real> priority;
  if (parts_.policy == capacity_policy::random)
    priority = parts_.draw(t.context, "capacity", false, r.experts.size());
  if (parts_.policy == capacity_policy::bpr)
    for (std::int64_t i = 0; i < r.tokens; ++i) {
      const auto row = t.seen.probabilities.row(i);
      priority.push_back(*std::max_element(row.begin(), row.end()));
    }
  if (limited) t.capacity = capacity;
  t.surviving = drop_over_capacity<Real>(r, parts_.policy, capacity, priority,
                                         limited && parts_.renormalise_after_drop);
}

template <class Real>
void classifier_trunk<Real>::fill_slots(tape_type& t) const {
  const auto& r = t.chosen;
  const auto routed_slots = r.slots;
  t.slots = routed_slots + parts_.shared_expert;
  t.experts = tensor::allocate(dtype::i32, {r.tokens, t.slots});
  t.gates = tensor::allocate(dtype_of<Real>(), {r.tokens, t.slots});
  auto experts = t.experts.template mutable_as<std::int32_t>();
  auto gates = t.gates.template mutable_as<Real>();
  const auto& weights = t.surviving ? t.surviving->gates : r.gates;
  for (std::int64_t i = 0; i < r.tokens; ++i)
    for (std::int64_t j = 0; j < routed_slots; ++j) {
      const auto from = i * routed_slots + j;
      experts[i * t.slots + j] = !t.surviving || t.surviving->kept[from] ? r.experts[from] : -1;
      gates[i * t.slots + j] = weights[from];
    }
  if (!parts_.shared_expert) return;
  std::vector<Real> shared(static_cast<std::size_t>(r.tokens));
  if (parts_.shared_gate) {
    gate_logits(t.rows, parameters(t, layout_.shared_gate), 1, shared.data());
    require_finite<Real>({shared.data(), r.tokens, 1}, "logit of the shared expert's gate");
  }
  for (std::int64_t i = 0; i < r.tokens; ++i) {
    experts[i * t.slots + routed_slots] = static_cast<std::int32_t>(parts_.experts);
    gates[i * t.slots + routed_slots] = parts_.shared_gate ? sigmoid(shared[i]) : Real(1);
  }
}

template <class Real>
void classifier_trunk<Real>::combine(trunk_tape& tape, std::uint16_t, slot_rows outputs) {
  auto& t = at(tape);
  t.outputs = std::move(outputs);
  t.slot_outputs = rows_of_slots<Real>(t.experts, t.outputs, parts_.output_width);
  t.y.resize(static_cast<std::size_t>(t.tokens() * parts_.output_width));
  combine_slots<Real>(t.slot_outputs, t.gates.template as<Real>(), t.slots, parts_.output_width, t.y);
}

// -- loss and report
// ---------------------------------------------------------------------------------------------------

template <class Real>
microbatch_report classifier_trunk<Real>::loss(trunk_tape& tape) {
  auto& t = at(tape);
  const matrix_view<Real> y{t.y.data(), t.tokens(), parts_.output_width};
  const auto scale = t.context.training ? t.context.share : 0.0;
  t.task = parts_.task == classifier_parts<Real>::task_kind::classify
             ? cross_entropy(y, t.data.labels.template as<std::int64_t>(), scale)
             : mean_square(y, scale);
  if (t.context.training && !std::isfinite(t.task.loss))
    throw run_failure(not_finite("[trunk] task loss", t.task.loss));
  microbatch_report out;
  out.microbatch = t.context.microbatch;
  out.rows = static_cast<std::uint32_t>(t.tokens());
  out.loss = t.task.loss;
  out.correct = t.task.correct;
  out.layers.push_back(health(t, router_losses(t)));
  if (!t.context.training && parts_.task == classifier_parts<Real>::task_kind::classify)
    out.expert_class = expert_class(t);
  return out;
}

template <class Real>
loss_input<Real> classifier_trunk<Real>::seen_by_losses(const tape_type& t) const {
  loss_input<Real> in{.logits = t.seen.logits,
                      .probabilities = t.seen.probabilities,
                      .log_partition = t.seen.log_partition,
                      .noise_logits = t.seen.noise_logits,
                      .normal = t.seen.draws,
                      .chosen = &t.chosen};
  if (needs_.plain_top_k) {
    in.counts = t.chosen.counts;
    in.counts_k = needs_.slots;
  }
  return in;
}

/// The losses by name. In training the tape's gradient begins with theirs.
template <class Real>
std::vector<named_value> classifier_trunk<Real>::router_losses(tape_type& t) const {
  if (t.context.training) {
    t.gradient.logits.assign(t.logits.size(), Real(0));
    t.gradient.noise_logits.assign(t.noise_logits.size(), Real(0));
    t.gradient.gates.assign(t.chosen.gates.size(), Real(0));
  }
  const auto in = seen_by_losses(t);
  std::vector<named_value> out;
  for (const auto& l : parts_.losses) {
    auto* gradient = t.context.training && l.coefficient != 0 ? &t.gradient : nullptr;
    const auto value = l.loss->evaluate(in, l.coefficient * t.context.share, gradient);
    if (!std::isfinite(value)) throw run_failure(not_finite("[router] loss '" + l.name + "'", value));
    out.push_back({l.name, value});
  }
  return out;
}

template <class Real>
layer_health classifier_trunk<Real>::health(const tape_type& t, std::vector<named_value> losses) const {
  layer_health out;
  out.expert_rows = t.chosen.counts;
  if (needs_.gate)
    out.values.push_back(
      {"entropy", router_entropy(t.seen.logits, t.seen.probabilities, t.seen.log_partition)});
  std::ranges::move(losses, std::back_inserter(out.values));
  double mass = 0;
  std::uint64_t used = 0;
  std::uint64_t chosen = 0;
  for (std::size_t i = 0; i < t.chosen.experts.size(); ++i) {
    if (!t.chosen.in_use(static_cast<std::int64_t>(i))) continue;
    ++chosen;
    if (t.surviving && !t.surviving->kept[i]) continue;
    ++used;
    mass += static_cast<double>(t.surviving ? t.surviving->gates[i] : t.chosen.gates[i]);
  }
  out.values.push_back({"mean_gate", used == 0 ? 0.0 : mass / static_cast<double>(used)});
  out.values.push_back(
    {"dropped", chosen == 0 ? 0.0 : static_cast<double>(chosen - used) / static_cast<double>(chosen)});
  return out;
}

template <class Real>
std::vector<std::uint64_t> classifier_trunk<Real>::expert_class(const tape_type& t) const {
  std::vector<std::uint64_t> out(static_cast<std::size_t>(parts_.experts * parts_.output_width));
  const auto labels = t.data.labels.template as<std::int64_t>();
  const auto experts = t.experts.template as<std::int32_t>();
  for (std::size_t i = 0; i < experts.size(); ++i)
    if (experts[i] >= 0 && experts[i] < parts_.experts)
      ++out[experts[i] * parts_.output_width + labels[i / t.slots]];
  return out;
}

// -- backward
// -----------------------------------------------------------------------------------------------------------

template <class Real>
output_gradient classifier_trunk<Real>::backward(trunk_tape& tape, std::uint16_t) {
  auto& t = at(tape);
  return {tensor::of<Real>({t.tokens(), parts_.output_width}, t.task.gradient), t.gates};
}

/// Adds to the losses' dL/dz what comes through the gates: from the task, through capacity, and from the
/// losses on the gates. Left to after the experts have their gradients.
template <class Real>
void classifier_trunk<Real>::gate_gradient(tape_type& t) const {
  if (std::exchange(t.gate_gradient_done, true)) return;
  std::vector<Real> all(static_cast<std::size_t>(t.tokens() * t.slots));
  gate_gradients<Real>(t.slot_outputs, t.task.gradient, t.slots, parts_.output_width, all);
  std::vector<Real> own;
  if (parts_.shared_expert) {
    const auto gates = t.gates.template as<Real>();
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(all.size()); ++i)
      if (i % t.slots < t.chosen.slots)
        own.push_back(all[i]);
      else
        t.shared_gradient.push_back(all[i] * gates[i] * (1 - gates[i]));
  } else {
    own = std::move(all);
  }
  if (!needs_.gate) return;
  if (t.surviving) capacity_backward<Real>(*t.surviving, t.chosen.slots, own);
  for (std::size_t i = 0; i < own.size(); ++i) own[i] += t.gradient.gates[i];
  rule_.backward(t.seen, t.chosen, own, t.gradient);
  require_finite<Real>({t.gradient.logits.data(), t.tokens(), parts_.experts}, "gradient of the logit");
  if (needs_.noise_gate)
    require_finite<Real>({t.gradient.noise_logits.data(), t.tokens(), parts_.experts},
                         "gradient of the noise logit");
}

template <class Real>
void classifier_trunk<Real>::input_gradient(trunk_tape& tape, std::uint16_t, slot_rows gradients) {
  auto& t = at(tape);
  gate_gradient(t);
  const auto rows = rows_of_slots<Real>(t.experts, gradients, parts_.width);
  const std::vector<Real> ones(rows.size(), Real(1));
  auto& dx = t.input_gradient;
  dx.resize(static_cast<std::size_t>(t.tokens() * parts_.width));
  combine_slots<Real>(rows, ones, t.slots, parts_.width, dx);
  if (needs_.gate)
    add_gate_input_gradient(t.gradient.logits.data(), parameters(t, layout_.weight), t.tokens(),
                            parts_.experts, parts_.width, dx.data());
  if (needs_.noise_gate)
    add_gate_input_gradient(t.gradient.noise_logits.data(), parameters(t, layout_.noise_weight), t.tokens(),
                            parts_.experts, parts_.width, dx.data());
  if (parts_.shared_gate)
    add_gate_input_gradient(t.shared_gradient.data(), parameters(t, layout_.shared_gate), t.tokens(), 1,
                            parts_.width, dx.data());
}

template <class Real>
tensor classifier_trunk<Real>::dense_gradient(trunk_tape& tape) {
  auto& t = at(tape);
  gate_gradient(t);
  auto out = tensor::zeros(dtype_of<Real>(), {layout_.size});
  Real* to = out.template mutable_as<Real>().data();
  if (needs_.gate) add_gate_gradient_of(t, t.gradient.logits, to + layout_.weight);
  if (needs_.noise_gate) add_gate_gradient_of(t, t.gradient.noise_logits, to + layout_.noise_weight);
  if (parts_.shared_gate)
    add_gate_weight_gradient(t.rows, t.shared_gradient.data(), 1, to + layout_.shared_gate);
  if (parts_.input_rows > 0) {
    const auto ids = t.data.ids.template as<std::int64_t>();
    for (std::size_t i = 0; i < t.input_gradient.size(); ++i)
      to[layout_.inputs + ids[i / parts_.width] * parts_.width
         + static_cast<std::int64_t>(i) % parts_.width] += t.input_gradient[i];
  }
  if (needs_.bias == router_needs::bias_rule::balance)
    std::transform(t.chosen.counts.begin(), t.chosen.counts.end(), to + layout_.bias,
                   [](auto n) { return static_cast<Real>(n); });
  if (needs_.bias == router_needs::bias_rule::quantile)
    for (const auto& d : t.chosen.details)
      if (d.name == "beta")
        std::transform(d.values.begin(), d.values.end(), to + layout_.bias,
                       [&](Real b) { return b * static_cast<Real>(t.context.share); });
  return out;
}

template <class Real>
void classifier_trunk<Real>::fold(tensor& into, const tensor& term) {
  auto to = into.template mutable_as<Real>();
  const auto from = term.template as<Real>();
  TROUPE_CHECK(to.size() == from.size(),
               "gradient: got " + std::to_string(from.size()) + ", expected " + std::to_string(to.size()));
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

} // namespace

template <class Real>
std::unique_ptr<trunk_module> make_classifier_trunk(classifier_parts<Real> parts) {
  return std::make_unique<classifier_trunk<Real>>(std::move(parts));
}

template std::unique_ptr<trunk_module> make_classifier_trunk(classifier_parts<float>);
template std::unique_ptr<trunk_module> make_classifier_trunk(classifier_parts<double>);

namespace {

template <class Real>
expected<std::unique_ptr<trunk_module>> trunk_of(const configuration& config, const model_shape& widths,
                                                 const extensions& more) {
  auto parts = make_classifier_parts<Real>(config, widths, more);
  if (!parts) return tl::unexpected(parts.error());
  return make_classifier_trunk(std::move(*parts));
}

} // namespace

expected<std::unique_ptr<trunk_module>> make_classifier_trunk(const configuration& config,
                                                              const model_shape& widths) {
  return make_classifier_trunk(config, widths, extensions{});
}

expected<std::unique_ptr<trunk_module>>
make_classifier_trunk(const configuration& config, const model_shape& widths, const extensions& more) {
  if (config.model.precision == "f32") return trunk_of<float>(config, widths, more);
  if (config.model.precision == "f64") return trunk_of<double>(config, widths, more);
  return fail(error_code::usage, "[model] precision: got '" + config.model.precision + "', limit f32 | f64");
}

} // namespace troupe
