#pragma once

#include "actors/router/dispatch_plan.hpp"
#include "model/trunks/classifier_dense.hpp"
#include "model/trunks/classifier_tape.hpp"
#include "model/trunks/classifier_trunk.hpp"
#include "tests/model/experts/expert_fixture.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe::testing {

/// The classifier with its experts, run as a router and one host do. Small and awkward: T varies, E = 5, k
/// = 3.
template <class Real>
struct classifier {
  static configuration default_configuration() {
    configuration c;
    c.model.experts = 5;
    c.model.expert_hidden_size = 7;
    c.model.expert_activation = "silu";
    c.model.expert_bias = true;
    c.model.precision = dtype_of<Real>() == dtype::f64 ? "f64" : "f32";
    c.model.router.experts_per_token = 3;
    c.model.router.losses = {{"switch", 0.05}, {"z", 0.01}, {"variance", 0.1}};
    c.optimizer.name = "sgd";
    c.schedule.seed = 11;
    return c;
  }

  classifier(const configuration& c, const model_shape& s) : config(c), widths(s) {
    trunk = make_classifier_trunk(c, s).value();
    dense = make_classifier_dense(c, s, extensions{}).value();
    for (std::uint16_t e = 0; e < c.model.owners_per_layer(); ++e) {
      experts.push_back(make_mlp_expert(c, s, {0, e, 0}).value());
      sums.push_back(experts.back()->new_sum());
    }
  }

  /// One microbatch, forward only or forward and backward; gradients go into `sums` and `dense_gradient`.
  microbatch_report run(const microbatch_context& context, const batch& data) {
    tape = trunk->begin(context, data, dense->flat());
    const auto where = trunk->forward(*tape, 0);
    const std::vector<node_id> placement(experts.size(), 0);
    const auto plan = plan_dispatch(where.experts, 0, placement, 0);
    const auto& bundle = plan.bundles.at(0);
    std::vector<tensor> outputs;
    std::vector<std::unique_ptr<expert_tape>> tapes;
    for (const auto& span : bundle.experts) {
      auto result = experts[span.owner.expert]->forward({where.rows, bundle.indices, span.begin, span.end},
                                                        context.training);
      outputs.push_back(result.output);
      tapes.push_back(std::move(result.tape));
    }
    trunk->combine(*tape, 0, {outputs, plan.positions});
    const auto report = trunk->loss(*tape);
    if (!context.training) return report;
    const auto back = trunk->backward(*tape, 0);
    const auto gates = pack_gates(back.gates, bundle);
    const auto wanted = trunk->input_gradient_wanted(0);
    std::vector<tensor> gradients;
    for (std::size_t e = 0; e < experts.size(); ++e) {
      gradients.push_back(experts[e]->backward(*tapes[e], back.rows, gates, wanted));
      experts[e]->fold_tape(*sums[e], *tapes[e]);
    }
    if (wanted) trunk->input_gradient(*tape, 0, {gradients, plan.positions});
    const auto term = trunk->dense_gradient(*tape);
    if (dense_gradient.present())
      trunk->fold(dense_gradient, term);
    else
      dense_gradient = term;
    return report;
  }

  const classifier_tape<Real>& last() const { return static_cast<const classifier_tape<Real>&>(*tape); }

  /// dense_gradient by name.
  std::map<std::string, std::vector<Real>> dense_gradients() const {
    const auto parts = make_classifier_parts<Real>(config, widths, {}).value();
    std::map<std::string, std::vector<Real>> out;
    for (const auto& e : parts.layout().entries) {
      const auto all = dense_gradient.template as<Real>();
      out[e.name].assign(all.begin() + e.offset, all.begin() + e.offset + e.dims.elements());
    }
    return out;
  }

  configuration config;
  model_shape widths;
  std::unique_ptr<trunk_module> trunk;
  std::unique_ptr<dense_module> dense;
  std::vector<std::unique_ptr<expert_module>> experts;
  std::vector<std::unique_ptr<gradient_sum>> sums;
  std::unique_ptr<trunk_tape> tape;
  tensor dense_gradient;
};

/// Task loss plus its router losses with their coefficients.
inline double total_loss(const microbatch_report& report, const model_options& model) {
  double out = report.loss;
  for (const auto& v : report.layers.at(0).values)
    for (const auto& l : model.router.losses)
      if (l.name == v.name) out += l.coefficient * v.value;
  return out;
}

inline batch batch_of(const tensor& inputs, std::int64_t classes) {
  batch b;
  b.inputs = inputs;
  std::vector<std::int64_t> labels, ids;
  for (std::int64_t t = 0; t < inputs.rows(); ++t) {
    labels.push_back((5 * t + 1) % classes);
    ids.push_back(t);
  }
  b.labels = tensor::of<std::int64_t>({inputs.rows()}, labels);
  b.ids = tensor::of<std::int64_t>({inputs.rows()}, ids);
  return b;
}

inline model_shape widths_of(std::int64_t in, std::int64_t out, std::uint64_t rows = 0) {
  model_shape s;
  s.input_width = in;
  s.output_width = out;
  s.input_rows = rows;
  return s;
}

} // namespace troupe::testing
