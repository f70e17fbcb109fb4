#include "model/optimizers/flat_optimizer.hpp"
#include "model/random.hpp"

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <cmath>
#include <memory>
#include <type_traits>
#include <vector>

using namespace troupe;

namespace {

std::unique_ptr<torch::optim::Optimizer> torch_optimizer(const optimizer_options& o,
                                                         std::vector<at::Tensor> parameters) {
  if (o.name == "sgd")
    return std::make_unique<torch::optim::SGD>(
      parameters,
      torch::optim::SGDOptions(o.learning_rate).momentum(o.momentum).weight_decay(o.weight_decay));
  if (o.name == "adam")
    return std::make_unique<torch::optim::Adam>(parameters, torch::optim::AdamOptions(o.learning_rate)
                                                              .betas({o.beta1, o.beta2})
                                                              .eps(o.epsilon)
                                                              .weight_decay(o.weight_decay));
  return std::make_unique<torch::optim::AdamW>(parameters, torch::optim::AdamWOptions(o.learning_rate)
                                                             .betas({o.beta1, o.beta2})
                                                             .eps(o.epsilon)
                                                             .weight_decay(o.weight_decay));
}

optimizer_options options(const char* name, double momentum, double decay, double epsilon = 1e-8) {
  optimizer_options o;
  o.name = name;
  o.momentum = momentum;
  o.weight_decay = decay;
  o.epsilon = epsilon;
  o.learning_rate = 0.01;
  return o;
}

} // namespace

TEMPLATE_TEST_CASE("twenty steps equal torch::optim's", "[unit]", float, double) {
  using Real = TestType;
  constexpr double bound = std::is_same_v<Real, float> ? 1e-6 : 1e-14;
  constexpr auto type = std::is_same_v<Real, float> ? at::kFloat : at::kDouble;
  const auto o = GENERATE(options("sgd", 0, 0), options("sgd", 0.9, 0), options("sgd", 0, 0.1),
                          options("sgd", 0.5, 0.01), options("adam", 0, 0), options("adam", 0, 0.1),
                          options("adam", 0, 0, 0.1), options("adamw", 0, 0), options("adamw", 0, 0.1));
  INFO(o.name << " momentum " << o.momentum << " decay " << o.weight_decay << " epsilon " << o.epsilon);
  constexpr std::size_t n = 101;
  std::vector<Real> p(n), g(n);
  philox_stream(1, "parameters").fill_normal<Real>(p);
  auto expected = at::from_blob(p.data(), {static_cast<std::int64_t>(n)}, at::TensorOptions().dtype(type))
                    .clone();
  expected.requires_grad_(true);
  const auto reference = torch_optimizer(o, {expected});
  flat_optimizer<Real> optimizer(o, n);
  for (std::uint64_t step = 0; step < 20; ++step) {
    philox_stream(step, "gradient").fill_normal<Real>(g);
    if (step == 7) std::fill(g.begin(), g.end(), Real{0}); // an expert without tokens
    expected.mutable_grad() =
      at::from_blob(g.data(), {static_cast<std::int64_t>(n)}, at::TensorOptions().dtype(type)).clone();
    reference->step();
    optimizer.step(p, g, {o.learning_rate, 1, step});
    const auto values = expected.detach();
    const auto* want = values.template const_data_ptr<Real>();
    for (std::size_t i = 0; i < n; ++i)
      REQUIRE(std::abs(p[i] - want[i]) <= bound * std::max(1.0, std::abs(static_cast<double>(want[i]))));
  }
}
