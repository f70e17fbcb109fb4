#include "conformance/layer_model.hpp"

#include "actors/router/dispatch_plan.hpp"
#include "model/experts/mlp_expert.hpp"
#include "model/trunks/classifier_dense.hpp"
#include "model/trunks/classifier_trunk.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::conformance {

// -- experts
// ----------------------------------------------------------------------------------------------------------

namespace {

optimizer_options plain_sgd() {
  optimizer_options out;
  out.name = "sgd";
  return out;
}

/// "shared_W_gate" → "w_gate".
std::string own_name(std::string name) {
  if (name.starts_with("shared_")) name = name.substr(7);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

value slice(const value& v, std::optional<std::int64_t> expert) {
  if (!expert) return v;
  const auto size = v.elements() / v.shape[0];
  value out{v.type, {v.shape.begin() + 1, v.shape.end()}, {}, {}};
  out.numbers.assign(v.numbers.begin() + *expert * size, v.numbers.begin() + (*expert + 1) * size);
  return out;
}

/// The sum's numbers by name: a set of zeros steps by it once, with rate −1.
std::vector<named_tensor> numbers_of(parameter_set& zeros, const gradient_sum& sum) {
  zeros.apply(sum, {.learning_rate = -1, .scale = 1, .index = 0});
  return zeros.parameters();
}

void set_zero(parameter_set& set) {
  auto values = set.parameters();
  for (auto& v : values) v.value = tensor::zeros(v.value.type(), v.value.dims());
  if (auto good = set.set_parameters(values); !good) throw case_error(good.error().text);
}

} // namespace

std::vector<std::string> expert_tensor_names(const std::string& activation, const values& in,
                                             const std::string& prefix) {
  std::vector<std::string> out;
  if (activation == "swiglu") {
    out = {"W_gate", "W_up", "W_down"};
  } else if (activation == "relu") {
    out = {"W1", "W2"};
    const bool bias = in.contains(prefix + "b1");
    if (bias != in.contains(prefix + "b2")) throw case_error("of the inputs 'b1' and 'b2' one is missing");
    if (bias) out = {"W1", "W2", "b1", "b2"};
  } else {
    throw case_error("unknown activation '" + activation + "'");
  }
  for (auto& name : out) name = prefix + name;
  return out;
}

std::unique_ptr<expert_module> make_expert(const std::string& activation, const values& in,
                                           const std::vector<std::string>& names,
                                           std::optional<std::int64_t> expert) {
  const std::size_t rank = expert ? 3 : 2;
  const auto& first = need_numbers(in, names.front(), rank);
  mlp_shape s;
  s.hidden = first.shape[rank - 2];
  s.in = s.out = first.shape[rank - 1];
  s.activation = activation == "swiglu" ? mlp_shape::activation_kind::swiglu
                                        : mlp_shape::activation_kind::relu;
  s.bias = names.size() == 4;
  if (s.hidden < 1 || s.in < 1) throw case_error("an expert has no width");
  if (const auto width = need_numbers(in, "x", 2).shape[1]; width != s.in)
    throw case_error("input '" + names.front() + "' takes rows of " + std::to_string(s.in)
                     + " numbers, x has " + std::to_string(width));
  auto out = std::make_unique<mlp_expert<double>>(s, plain_sgd());
  std::vector<named_tensor> given;
  for (const auto& name : names) {
    const bool bias = own_name(name)[0] == 'b';
    const auto& v = need_numbers(in, name, rank - bias);
    if (expert && v.shape[0] != first.shape[0])
      throw case_error("input '" + name + "' holds another number of experts");
    given.push_back({own_name(name), to_tensor(slice(v, expert))});
  }
  if (auto good = out->set_parameters(given); !good) throw case_error(good.error().text);
  return out;
}

// -- the layer
// ----------------------------------------------------------------------------------------------------------

namespace {

/// A rule that tells its details. If not `training` it routes as in evaluation, and still has its gradient:
/// sinkhorn.
class detailed : public router<double> {
public:
  detailed(std::unique_ptr<router<double>> rule, bool training)
    : rule_(std::move(rule)), training_(training) {
    // nop
  }

  router_needs needs() const override { return rule_->needs(); }

  routing<double> route(const routing_input<double>& in) const override {
    auto seen = in;
    seen.details = true;
    seen.training = seen.training && training_;
    return rule_->route(seen);
  }

  void backward(const routing_input<double>& in, const routing<double>& forward,
                std::span<const double> gate_gradient, logit_gradient<double>& out) const override {
    rule_->backward(in, forward, gate_gradient, out);
  }

private:
  std::unique_ptr<router<double>> rule_;
  bool training_;
};

void set_losses(const options& losses, const router_needs& needs, double floor,
                classifier_parts<double>& parts) {
  for (const auto& name : losses.names()) {
    if (name == "sequence" || name == "tutel_load_importance")
      throw case_error("loss '" + name + "' does not go with a layer: it has options of its own");
    if (name == "load" && !needs.noise_gate) throw case_error("loss 'load' goes with noisy_top_k");
    if (!needs.gate) throw case_error("a router without logits has no losses");
    const loss_formula formula{.name = name, .k = needs.slots, .score = needs.score, .noise_floor = floor};
    parts.losses.push_back({name, losses.number(name), taken(make_loss<double>(formula, parts.experts))});
  }
}

void set_limit(const options& limit, classifier_parts<double>& parts) {
  limit.allow({"policy", "factor", "minimum", "renormalise_after_drop"});
  parts.policy = taken(capacity_policy_of(limit.text("policy")));
  if (parts.policy == capacity_policy::none) return;
  parts.capacity_factor = limit.number("factor");
  parts.capacity_minimum = limit.integer("minimum", 0);
  parts.renormalise_after_drop = limit.flag("renormalise_after_drop");
}

} // namespace

layer_model::layer_model(const layer_settings& settings, const values& in)
  : router_options_(settings.router), layout_({}, {}, dtype::f64), activation_(settings.activation) {
  const auto& x = need_numbers(in, "x", 2);
  if (x.shape[0] < 1) throw case_error("there are no tokens");
  x_ = to_tensor(x);
  width_ = x.shape[1];
  expert_tensors_ = expert_tensor_names(activation_, in);
  expert_count_ = need_numbers(in, expert_tensors_.front(), 3).shape[0];
  for (std::int64_t e = 0; e < expert_count_; ++e)
    experts_.push_back(make_expert(activation_, in, expert_tensors_, e));
  shared_ = std::any_of(in.begin(), in.end(), [](const auto& v) { return v.first.starts_with("shared_"); });
  if (shared_) {
    shared_tensors_ = expert_tensor_names(activation_, in, "shared_");
    experts_.push_back(make_expert(activation_, in, shared_tensors_, std::nullopt));
  }
  make_trunk(settings, in);
  make_dense(in);
}

void layer_model::make_trunk(const layer_settings& settings, const values& in) {
  classifier_parts<double> parts;
  parts.task = classifier_parts<double>::task_kind::mean_square;
  parts.experts = expert_count_;
  parts.width = parts.output_width = width_;
  parts.input_gradient = true;
  parts.shared_expert = shared_;
  parts.shared_gate = in.contains("shared_w");
  parts.routing_rule = std::make_unique<detailed>(make_rule(settings.router, expert_count_),
                                                  in_training(settings.router));
  needs_ = parts.routing_rule->needs();
  if (needs_.bias == router_needs::bias_rule::quantile)
    throw case_error("router 'quantile' does not go with a layer here: it has no gates");
  if (settings.router.text("router") == "hash" && settings.router.integer("E", 1) != expert_count_)
    throw case_error("option 'E' is not the number of experts");
  if (settings.losses)
    set_losses(*settings.losses, needs_, needs_.noise_gate ? settings.router.number("floor") : 0, parts);
  for (const auto& l : parts.losses) coefficients_[l.name] = l.coefficient;
  if (settings.limit) set_limit(*settings.limit, parts);
  dropping_ = parts.policy != capacity_policy::none;
  if (parts.policy == capacity_policy::bpr && !needs_.gate) throw case_error("policy bpr needs logits");
  const auto tokens = x_.rows();
  std::vector<double> priority;
  if (parts.policy == capacity_policy::random) priority = need_numbers(in, "priority", 2).numbers;
  parts.draw = [draws = draws_of(needs_, in, tokens, expert_count_),
                priority](const microbatch_context&, const std::string& purpose, bool, std::size_t count) {
    const auto& out = purpose == "capacity" ? priority : draws;
    if (out.size() != count)
      throw case_error("the draws for the " + purpose + " are not as many as its slots");
    return out;
  };
  if (needs_.ids == router_needs::id_kind::token) {
    need_shape(need_integers(in, "token_ids", 1), "token_ids", {tokens});
    token_ids_ = to_tensor(in.at("token_ids"));
  }
  layout_ = parts.layout();
  trunk_ = make_classifier_trunk(std::move(parts));
}

void layer_model::make_dense(const values& in) {
  static const std::map<std::string, std::string> names = {{"router.weight", "Wg"},
                                                           {"router.noise_weight", "Wn"},
                                                           {"shared.gate", "shared_w"},
                                                           {"router.bias", "bias"}};
  const auto add = [&](const classifier_layout& layout) {
    std::vector<named_tensor> given;
    for (const auto& e : layout.entries) {
      const auto& name = names.at(e.name);
      const auto& v = need_numbers(in, name, e.dims.rank());
      need_shape(v, name, {e.dims.dims().begin(), e.dims.dims().end()});
      given.push_back({e.name, to_tensor(v)});
    }
    dense_.push_back(
      make_classifier_dense<double>(layout, plain_sgd(), {needs_.bias, 0.0, false}, {}, 0, 0)); // the bias
                                                                                                // stays
    if (auto good = dense_.back()->set_parameters(given); !good) throw case_error(good.error().text);
  };
  add({needs_, {expert_count_, width_}, dtype::f64});
  if (layout_.shared_gate != classifier_layout::absent) {
    router_needs nothing;
    nothing.gate = false;
    add({nothing, {expert_count_, width_, 0, true, false}, dtype::f64});
  }
}

/// The dense parts in the trunk's layout.
tensor layer_model::flat() const {
  auto out = tensor::zeros(dtype::f64, {layout_.size});
  auto to = out.mutable_as<double>();
  for (const auto& part : dense_)
    for (const auto& p : part->parameters())
      for (const auto& e : layout_.entries)
        if (e.name == p.name)
          std::copy_n(p.value.as<double>().begin(), e.dims.elements(), to.begin() + e.offset);
  return out;
}

values layer_model::run(bool with_backward) {
  values out;
  forward(out);
  if (with_backward) backward(out);
  return out;
}

void layer_model::forward(values& out) {
  const batch data{{}, 0, 0, x_, {}, token_ids_};
  tape_ = trunk_->begin({0, 0, 0, true, 1.0}, data, flat());
  const auto where = trunk_->forward(*tape_, 0);
  const std::vector<node_id> placement(experts_.size(), 0);
  auto plan = plan_dispatch(where.experts, 0, placement, 0);
  positions_ = plan.positions;
  const auto bundle = std::make_shared<node_bundle>(std::move(plan.bundles.at(0)));
  pack_gates_ = [bundle](const tensor& gates) { return troupe::pack_gates(gates, *bundle); };
  sent_rows_ = pack_rows(where.rows, *bundle);
  std::vector<tensor> parts;
  expert_tapes_.clear();
  for (const auto& span : bundle->experts) {
    auto result = experts_[span.owner.expert]->forward({sent_rows_, bundle->indices, span.begin, span.end},
                                                       true);
    parts.push_back(result.output);
    expert_tapes_.push_back(std::move(result.tape));
  }
  trunk_->combine(*tape_, 0, {std::move(parts), positions_});
  const auto report = trunk_->loss(*tape_);
  out["loss_task"] = scalar(report.loss);
  loss_ = report.loss;
  for (const auto& v : report.layers.at(0).values)
    if (const auto i = coefficients_.find(v.name); i != coefficients_.end()) {
      out["loss_" + v.name] = scalar(v.value);
      loss_ += i->second * v.value;
    }
  out["loss"] = scalar(loss_);
  add_forward_values(out);
}

void layer_model::add_forward_values(values& out) const {
  const auto& t = static_cast<const classifier_tape<double>&>(*tape_);
  const auto tokens = t.tokens();
  out.merge(routing_values(router_options_, needs_, t.chosen, expert_count_));
  if (needs_.gate) out["logits"] = numbers({tokens, expert_count_}, t.logits);
  if (dropping_) {
    out["C"] = scalar_integer(*t.capacity);
    out["kept"] = booleans({tokens, t.chosen.slots}, t.surviving->kept);
  }
  out["y"] = numbers({tokens, width_}, t.y);
}

void layer_model::backward(values& out) {
  const auto back = trunk_->backward(*tape_, 0);
  const auto gates = pack_gates_(back.gates);
  std::vector<tensor> gradients;
  owners_.clear();
  for (std::size_t e = 0; e < experts_.size(); ++e) {
    gradients.push_back(experts_[e]->backward(*expert_tapes_[e], back.rows, gates, true));
    auto sum = experts_[e]->new_sum();
    experts_[e]->fold_tape(*sum, *expert_tapes_[e]);
    owners_.push_back({experts_[e].get(), std::move(sum), static_cast<int>(e)});
  }
  add_expert_gradients(out);
  trunk_->input_gradient(*tape_, 0, {std::move(gradients), positions_});
  out["grad_x"] = numbers({x_.rows(), width_}, static_cast<classifier_tape<double>&>(*tape_).input_gradient);
  add_dense_gradients(trunk_->dense_gradient(*tape_), out);
}

void layer_model::add_expert_gradients(values& out) {
  for (std::size_t e = 0; e < owners_.size(); ++e) {
    const auto before = owners_[e].set->parameters();
    set_zero(*owners_[e].set);
    const auto found = numbers_of(*owners_[e].set, *owners_[e].sum);
    if (auto good = owners_[e].set->set_parameters(before); !good) throw case_error(good.error().text);
    const bool is_shared = shared_ && e + 1 == owners_.size();
    for (const auto& name : is_shared ? shared_tensors_ : expert_tensors_)
      for (const auto& t : found) {
        if (t.name != own_name(name)) continue;
        const auto data = t.value.as<double>();
        auto& v = out["grad_" + name];
        v.shape.assign(t.value.dims().dims().begin(), t.value.dims().dims().end());
        if (!is_shared) v.shape.insert(v.shape.begin(), expert_count_);
        v.numbers.insert(v.numbers.end(), data.begin(), data.end());
      }
  }
}

void layer_model::add_dense_gradients(const tensor& gradient, values& out) {
  static const std::map<std::string, std::string> names = {
    {"router.weight", "grad_Wg"}, {"router.noise_weight", "grad_Wn"}, {"shared.gate", "grad_shared_w"}};
  const auto all = gradient.as<double>();
  for (const auto& e : layout_.entries)
    if (const auto i = names.find(e.name); i != names.end())
      out[i->second] = numbers(
        {e.dims.dims().begin(), e.dims.dims().end()},
        all.subspan(static_cast<std::size_t>(e.offset), static_cast<std::size_t>(e.dims.elements())));
  // One lane gradient per dense part, in the part's own layout.
  router_needs nothing;
  nothing.gate = false;
  for (std::size_t i = 0; i < dense_.size(); ++i) {
    const classifier_layout own(i == 0 ? needs_ : nothing, {expert_count_, width_, 0, i == 1}, dtype::f64);
    auto lane = tensor::zeros(dtype::f64, {own.size});
    for (const auto& e : own.entries)
      for (const auto& from : layout_.entries)
        if (from.name == e.name)
          std::copy_n(all.begin() + from.offset, e.dims.elements(),
                      lane.mutable_as<double>().begin() + e.offset);
    const auto shared_group = static_cast<int>(experts_.size()) - 1;
    owners_.push_back({dense_[i].get(), dense_[i]->sum_of(lane), i == 0 ? -1 : shared_group});
  }
}

void layer_model::step(double learning_rate, const std::string& clip, double norm_max) {
  if (clip != "none" && clip != "global" && clip != "local") throw case_error("unknown clip '" + clip + "'");
  std::map<int, double> squares;
  for (auto& o : owners_) squares[clip == "local" ? o.norm_group : 0] += o.set->squared_norm(*o.sum);
  for (auto& o : owners_) {
    const auto norm = std::sqrt(squares[clip == "local" ? o.norm_group : 0]);
    const auto scale = clip == "none" ? 1.0 : std::min(1.0, norm_max / (norm + 1e-6));
    o.set->apply(*o.sum, {learning_rate, scale, 0});
  }
}

} // namespace troupe::conformance
