// The whole layer, trunk and experts together, against central differences: every router with every loss that
// goes with it, with a gated shared expert.

#include "tests/model/routing/routing_fixture.hpp"
#include "tests/model/trunks/classifier_fixture.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace troupe;
using namespace troupe::testing;

namespace {

constexpr double step = 1e-6;

/// The losses that a run may combine with the router, each with a weight of its own.
std::vector<loss_option> all_losses(const router_options& o) {
  std::vector<loss_option> out;
  if (o.name == "hash" || o.name == "task") return out;
  out.push_back({"z", 0.03});
  if (o.name == "sinkhorn" || o.name == "expert_choice" || o.name == "quantile") return out;
  for (const auto* name : {"switch", "first_choice", "hf", "sequence", "variance", "nanomoe",
                           "tutel_load_importance", "importance"})
    out.push_back({name, 0.05 + 0.01 * static_cast<double>(out.size())});
  if (o.name == "noisy_top_k") out.push_back({"load", 0.1});
  return out;
}

configuration layer_of(const router_options& o) {
  auto config = classifier<double>::default_configuration();
  config.model.experts = 6;
  config.model.router = o;
  config.model.router.losses = all_losses(o);
  config.model.router.sequence_length = 4;
  config.model.shared_experts = 2;
  config.model.shared_expert_gate = true;
  return config;
}

/// Experts of all slots as they were sent: a difference that changes them says nothing.
std::vector<std::int32_t> choices(const classifier<double>& c) {
  const auto experts = c.last().experts.as<std::int32_t>();
  return {experts.begin(), experts.end()};
}

/// Compares the gradient of some numbers of one owner's tensors with central differences.
struct difference_check {
  classifier<double>& c;
  const batch& data;
  const std::vector<std::int32_t> chosen;
  std::size_t compared = 0;
  std::size_t left_out = 0;

  double total() {
    c.dense_gradient = {};
    return total_loss(c.run({0, 0, 0, true, 1.0}, data), c.config.model);
  }

  void number(parameter_set& owner, std::size_t tensor_index, std::size_t i, double gradient) {
    const auto before = owner.parameters();
    const auto at = [&](double change) {
      auto values = before;
      values[tensor_index].value = tensor::of<double>(values[tensor_index].value.dims(),
                                                      values[tensor_index].value.as<double>());
      values[tensor_index].value.mutable_as<double>()[i] += change;
      REQUIRE(owner.set_parameters(values));
      const auto loss = total();
      return std::pair(loss, choices(c) == chosen);
    };
    const auto [up, up_same] = at(step);
    const auto [down, down_same] = at(-step);
    REQUIRE(owner.set_parameters(before));
    if (!up_same || !down_same) {
      ++left_out;
      return;
    }
    ++compared;
    INFO(before[tensor_index].name << "[" << i << "]");
    CHECK(std::abs((up - down) / (2 * step) - gradient) <= 1e-7);
  }

  void tensors(parameter_set& owner, const std::vector<named_tensor>& gradients) {
    for (std::size_t n = 0; n < gradients.size(); ++n) {
      const auto values = gradients[n].value.as<double>();
      for (std::size_t i = n % 3; i < values.size(); i += std::max<std::size_t>(1, values.size() / 4))
        number(owner, n, i, values[i]);
    }
  }
};

void check_layer(const router_options& o) {
  const auto config = layer_of(o);
  const auto widths = widths_of(7, 4);
  classifier<double> c(config, widths);
  auto weights = c.dense->parameters();
  for (auto& p : weights) // noisy top-k begins at 0, where everything ties
    if (p.name == "router.weight" || p.name == "router.noise_weight")
      p.value = normal_tensor<double>(p.value.dims(), p.name.size());
  REQUIRE(c.dense->set_parameters(weights));
  const auto data = batch_of(normal_tensor<double>({11, 7}, 3), 4);
  c.run({0, 0, 0, true, 1.0}, data);
  difference_check check{c, data, choices(c)};
  const auto dense = c.dense_gradients();
  std::vector<named_tensor> dense_gradients;
  for (const auto& p : c.dense->parameters())
    if (p.name != "router.bias")
      dense_gradients.push_back({p.name, tensor::of<double>(p.value.dims(), dense.at(p.name))});
  std::vector<std::vector<named_tensor>> expert_gradients;
  for (std::size_t e = 0; e < c.experts.size(); ++e)
    expert_gradients.push_back(gradient_of(*c.experts[e], *c.sums[e]));
  check.tensors(*c.dense, dense_gradients);
  for (const std::size_t e : {std::size_t{1}, c.experts.size() - 1})
    check.tensors(*c.experts[e], expert_gradients[e]);
  CHECK(check.compared > 4 * check.left_out);
}

} // namespace

TEST_CASE("the layer's gradient is the central difference for every router with all its losses", "[unit]") {
  for (const auto& o : every_router()) {
    INFO(described(o));
    check_layer(o);
  }
}

TEST_CASE("the layer's gradient is the central difference under every capacity policy", "[unit]") {
  for (const auto* policy : {"probs", "token_major", "choice_major", "bpr", "random"})
    for (const bool renormalise : {false, true}) {
      INFO(policy << (renormalise ? " renormalised" : ""));
      router_options o;
      o.experts_per_token = 3;
      o.capacity_policy = policy;
      o.capacity_factor = 0.6;
      o.renormalise_after_drop = renormalise;
      check_layer(o);
    }
}
