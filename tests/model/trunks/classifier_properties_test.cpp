// What holds for the whole layer, trunk and experts together, whatever the router.

#include "tests/model/routing/routing_fixture.hpp"
#include "tests/model/trunks/classifier_fixture.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <set>

using namespace troupe;
using namespace troupe::testing;

namespace {

configuration layer_of(const router_options& o) {
  auto config = classifier<float>::default_configuration();
  config.model.experts = 6;
  config.model.router = o;
  config.model.shared_experts = 1;
  config.model.shared_expert_gate = true;
  return config;
}

/// Router weights away from 0, where noisy top-k begins and everything ties.
template <class Real>
void spread_weights(classifier<Real>& c) {
  auto all = c.dense->parameters();
  for (auto& p : all)
    if (p.name == "router.weight" || p.name == "router.noise_weight")
      p.value = normal_tensor<Real>(p.value.dims(), p.name.size());
  REQUIRE(c.dense->set_parameters(all));
}

template <class T>
tensor rows_in_order(const tensor& from, const std::vector<std::int64_t>& order) {
  const auto width = from.row_elements();
  std::vector<T> out;
  for (const auto t : order) {
    const auto row = from.as<T>().subspan(static_cast<std::size_t>(t * width),
                                          static_cast<std::size_t>(width));
    out.insert(out.end(), row.begin(), row.end());
  }
  return tensor::of<T>(from.dims(), out);
}

double largest(const std::vector<named_tensor>& values) {
  double out = 0;
  for (const auto& v : values)
    for (const auto x : v.value.as<float>()) out = std::max(out, std::abs(static_cast<double>(x)));
  return out;
}

} // namespace

TEST_CASE("a permutation of the rows permutes the layer's outputs, bit for bit", "[unit]") {
  for (const auto& o : every_router()) {
    INFO(described(o));
    classifier<float> c(layer_of(o), widths_of(13, 4));
    spread_weights(c);
    const auto data = batch_of(normal_tensor<float>({29, 13}, 1), 4);
    std::vector<std::int64_t> order(29);
    std::iota(order.begin(), order.end(), 0);
    std::rotate(order.begin(), order.begin() + 8, order.end());
    std::reverse(order.begin(), order.begin() + 11);
    // Draws go by a row's place: routers that draw are permuted in evaluation, where they do not.
    const auto parts = make_classifier_parts<float>(c.config, c.widths, {}).value();
    const bool training = parts.routing_rule->needs().draws == router_needs::draw_kind::none;
    c.run({0, 0, 0, training, 1.0}, data);
    const auto before = tensor::of<float>({29, 4}, c.last().y);
    batch moved;
    moved.inputs = rows_in_order<float>(data.inputs, order);
    moved.labels = rows_in_order<std::int64_t>(data.labels, order);
    moved.ids = rows_in_order<std::int64_t>(data.ids, order);
    c.run({0, 0, 0, training, 1.0}, moved);
    CHECK(same_bytes(tensor::of<float>({29, 4}, c.last().y), rows_in_order<float>(before, order)));
  }
}

TEST_CASE("a capacity that nobody reaches gives the outputs and gradients of no capacity, bit for bit",
          "[unit]") {
  for (const auto& o : every_router())
    for (const auto* policy : {"probs", "token_major", "choice_major", "bpr", "random"}) {
      const bool logits = o.name != "hash" && o.name != "task";
      if (o.name == "expert_choice" || (!logits && std::string(policy) == "bpr")) continue; // refused
      INFO(described(o) << " policy " << policy);
      auto limited = layer_of(o);
      limited.model.router.capacity_policy = policy;
      limited.model.router.capacity_factor = 1000;
      classifier<float> free(layer_of(o), widths_of(13, 4));
      classifier<float> bound(limited, widths_of(13, 4));
      const auto data = batch_of(normal_tensor<float>({29, 13}, 1), 4);
      free.run({0, 0, 0, true, 1.0}, data);
      bound.run({0, 0, 0, true, 1.0}, data);
      CHECK(bound.last().y == free.last().y);
      CHECK(same_bytes(bound.dense_gradient, free.dense_gradient));
    }
}

TEST_CASE("importance is of the gates before any are dropped", "[unit]") {
  router_options o;
  o.losses = {{"importance", 0.1}};
  o.capacity_factor = 0.5;
  const auto importance = [&](const std::string& policy, bool renormalise) {
    o.capacity_policy = policy;
    o.renormalise_after_drop = renormalise;
    classifier<float> c(layer_of(o), widths_of(6, 3));
    const auto report = c.run({0, 0, 0, true, 1.0}, batch_of(normal_tensor<float>({12, 6}, 1), 3));
    const auto& values = report.layers.at(0).values;
    return std::ranges::find(values, "importance", &named_value::name)->value;
  };
  const auto all = importance("none", false);
  CHECK(all > 0);
  CHECK(importance("probs", false) == all);
  CHECK(importance("probs", true) == all);
}

TEST_CASE("one expert with a gate of 1 is its dense network bit for bit, by every router that can",
          "[unit]") {
  for (const auto* name : {"softmax", "softmax_post", "switch", "dense", "hash", "task"}) {
    INFO(name);
    auto config = classifier<float>::default_configuration();
    config.model.experts = 1;
    config.model.router.name = name;
    config.model.router.experts_per_token = 1;
    config.model.router.losses = {};
    classifier<float> c(config, widths_of(13, 4));
    const auto x = normal_tensor<float>({17, 13}, 1);
    c.run({0, 0, 0, true, 1.0}, batch_of(x, 4));
    std::vector<std::int32_t> every(17);
    std::iota(every.begin(), every.end(), 0);
    const auto dense = c.experts[0]->forward({x, index_tensor(every), 0, 17}, false);
    CHECK(std::equal(c.last().y.begin(), c.last().y.end(), dense.output.as<float>().begin()));
  }
}

TEST_CASE("a row's slots name distinct experts, and the shared expert last", "[unit]") {
  for (const auto& o : every_router()) {
    INFO(described(o));
    classifier<float> c(layer_of(o), widths_of(13, 4));
    spread_weights(c);
    c.run({0, 0, 0, true, 1.0}, batch_of(normal_tensor<float>({29, 13}, 1), 4));
    const auto experts = c.last().experts.as<std::int32_t>();
    const auto slots = static_cast<std::size_t>(c.last().slots);
    for (std::size_t t = 0; t < 29; ++t) {
      std::set<std::int32_t> seen;
      for (std::size_t j = 0; j + 1 < slots; ++j) {
        const auto e = experts[t * slots + j];
        CHECK(e < 6);
        if (e >= 0) CHECK(seen.insert(e).second);
      }
      CHECK(experts[t * slots + slots - 1] == 6);
    }
  }
}

TEST_CASE("experts without a row work forward and backward and have gradient 0", "[unit]") {
  auto by_label = router_options{};
  by_label.name = "task";
  by_label.experts_per_token = 1;
  by_label.losses = {};
  auto by_score = router_options{};
  for (const auto& o : {by_label, by_score}) {
    INFO(o.name);
    classifier<float> c(layer_of(o), widths_of(13, 4));
    auto data = batch_of(normal_tensor<float>({29, 13}, 1), 4);
    for (auto& x : data.inputs.mutable_as<float>()) x = std::abs(x) + 0.1f;
    const std::vector<std::int64_t> labels(29, 3);
    data.labels = tensor::of<std::int64_t>({29}, labels);
    auto all = c.dense->parameters(); // by score: experts 2 and 3 before all others, for every positive row
    for (auto& p : all)
      if (p.name == "router.weight") {
        p.value = tensor::zeros(dtype::f32, p.value.dims());
        for (std::size_t i = 2 * 13; i < 4 * 13; ++i) p.value.mutable_as<float>()[i] = 1;
      }
    REQUIRE(c.dense->set_parameters(all));
    const auto report = c.run({0, 0, 0, true, 1.0}, data);
    CHECK(std::isfinite(report.loss));
    for (std::size_t e = 0; e < 6; ++e) {
      const bool chosen = e == 3 || (e == 2 && o.name == "softmax");
      CHECK(report.layers[0].expert_rows[e] == (chosen ? 29u : 0u));
      CHECK((largest(gradient_of(*c.experts[e], *c.sums[e])) > 0) == chosen);
    }
    CHECK(largest(gradient_of(*c.experts[6], *c.sums[6])) > 0); // the shared expert has every row
  }
}

TEST_CASE("the shared expert adds its output, by its gate if it has one, and counts as no routed expert",
          "[unit]") {
  for (const bool gated : {false, true}) {
    auto plain = layer_of(router_options{});
    plain.model.precision = "f64";
    plain.model.shared_experts = 0;
    plain.model.shared_expert_gate = false;
    auto shared = plain;
    shared.model.shared_experts = 3;
    shared.model.shared_expert_gate = gated;
    classifier<double> without(plain, widths_of(13, 4));
    classifier<double> with(shared, widths_of(13, 4));
    const auto x = normal_tensor<double>({9, 13}, 1);
    without.run({0, 0, 0, true, 1.0}, batch_of(x, 4));
    const auto report = with.run({0, 0, 0, true, 1.0}, batch_of(x, 4));
    CHECK(report.layers[0].expert_rows.size() == 6);
    const auto parameters = with.experts.at(6)->parameters();
    CHECK(parameters[0].value.dims() == shape{21, 13}); // three times 7 hidden numbers
    std::vector<std::int32_t> every(9);
    std::iota(every.begin(), every.end(), 0);
    const auto output = with.experts[6]->forward({x, index_tensor(every), 0, 9}, false).output;
    const auto own = output.as<double>();
    std::vector<double> gate(13);
    for (const auto& p : with.dense->parameters())
      if (p.name == "shared.gate") std::ranges::copy(p.value.as<double>(), gate.begin());
    for (std::size_t t = 0; t < 9; ++t) {
      double logit = 0;
      for (std::size_t i = 0; i < 13; ++i) logit += x.as<double>()[t * 13 + i] * gate[i];
      const auto weight = gated ? 1 / (1 + std::exp(-logit)) : 1.0;
      for (std::size_t i = t * 4; i < t * 4 + 4; ++i)
        CHECK(std::abs(with.last().y[i] - without.last().y[i] - weight * own[i]) < 1e-12);
    }
  }
}
