#include "tests/model/experts/expert_fixture.hpp"
#include "tests/model/torch/torch_tensor.hpp"

#include <ATen/ATen.h>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <map>
#include <type_traits>

using namespace troupe;
using namespace troupe::testing;
using troupe::test::to_torch;

namespace {

/// The textbook network on one batch of rows, by names of parameters.
at::Tensor textbook_output(const expert_case& c, std::map<std::string, at::Tensor>& p, const at::Tensor& x) {
  const auto linear = [&](const at::Tensor& in, const std::string& which) {
    auto y = at::mm(in, p.at("w" + which).t());
    return c.bias ? y + p.at("b" + which) : y;
  };
  if (c.activation == "swiglu") return linear(at::silu(linear(x, "_gate")) * linear(x, "_up"), "_down");
  const auto before = linear(x, "1");
  const auto hidden = c.activation == "relu"   ? at::relu(before)
                      : c.activation == "silu" ? at::silu(before)
                                               : at::gelu(before);
  return linear(hidden, "2");
}

/// max |got - expected| relative to the largest expected value, or to 0.1: outputs of order 1 that happen to
/// cancel.
double relative_distance(const at::Tensor& got, const at::Tensor& expected) {
  if (expected.numel() == 0) return 0;
  const auto difference = (got - expected).abs().max().item<double>();
  return difference / std::max(0.1, expected.abs().max().item<double>());
}

} // namespace

TEMPLATE_TEST_CASE("output, input gradient and weight gradients are those of LibTorch's autograd", "[unit]",
                   float, double) {
  using Real = TestType;
  constexpr double bound = std::is_same_v<Real, float> ? 2e-6 : 1e-13;
  expert_case c;
  c.precision = std::is_same_v<Real, float> ? "f32" : "f64";
  c.activation = GENERATE("relu", "silu", "gelu", "swiglu");
  c.bias = GENERATE(true, false);
  std::tie(c.in, c.hidden, c.out) = GENERATE(std::tuple{13, 50, 10}, std::tuple{784, 64, 10},
                                             std::tuple{40, 7, 40}, std::tuple{3, 130, 1},
                                             std::tuple{1, 1, 1});
  const auto n = GENERATE(1, 2, 3, 66);
  INFO(c.activation << " bias " << c.bias << " " << c.in << " to " << c.hidden << " to " << c.out << ", rows "
                    << n);

  const auto table_rows = n + 5;
  const auto rows = normal_tensor<Real>({table_rows, c.in}, 1);
  const auto dy = normal_tensor<Real>({table_rows, c.out}, 2);
  const auto gates = normal_tensor<Real>({n + 3}, 3);
  std::vector<std::int32_t> chosen(static_cast<std::size_t>(n) + 3); // the middle n belong to this expert
  for (std::size_t i = 0; i < chosen.size(); ++i)
    chosen[i] = static_cast<std::int32_t>((i * 7 + 2) % static_cast<std::size_t>(table_rows));
  const auto indices = index_tensor(chosen);
  const auto begin = 2u, end = static_cast<std::uint32_t>(n) + 2;

  auto expert = c.make();
  auto result = expert->forward({rows, indices, begin, end}, true);
  const auto dx = expert->backward(*result.tape, dy, gates, true);
  auto sum = expert->new_sum();
  expert->fold_tape(*sum, *result.tape);
  result.tape.reset();

  std::map<std::string, at::Tensor> parameters;
  for (const auto& p : expert->parameters()) parameters[p.name] = to_torch(p.value).requires_grad_(true);
  const auto index = at::tensor(std::vector<std::int64_t>(chosen.begin() + begin, chosen.begin() + end));
  auto x = at::index_select(to_torch(rows), 0, index).requires_grad_(true);
  const auto y = textbook_output(c, parameters, x);
  const auto weight = to_torch(gates).slice(0, begin, end).unsqueeze(1);
  (y * weight * at::index_select(to_torch(dy), 0, index)).sum().backward();

  CHECK(relative_distance(to_torch(result.output), y.detach()) < bound);
  CHECK(relative_distance(to_torch(dx), x.grad()) < bound);
  double squared = 0;
  for (const auto& g : gradient_of(*expert, *sum)) {
    const auto expected = parameters.at(g.name).grad();
    INFO(g.name);
    CHECK(relative_distance(to_torch(g.value), expected) < bound);
    squared += expected.to(at::kDouble).square().sum().template item<double>();
  }
  CHECK(std::abs(expert->squared_norm(*sum) - squared) <= 10 * bound * squared);
}

TEMPLATE_TEST_CASE("microbatches folded in order give the gradient of all their rows", "[unit]", float,
                   double) {
  using Real = TestType;
  constexpr double bound = std::is_same_v<Real, float> ? 2e-6 : 1e-13;
  expert_case c;
  c.precision = std::is_same_v<Real, float> ? "f32" : "f64";
  auto expert = c.make();
  const auto rows = normal_tensor<Real>({60, c.in}, 1);
  const auto dy = normal_tensor<Real>({60, c.out}, 2);
  const auto gates = normal_tensor<Real>({60}, 3);
  std::vector<std::int32_t> all(60);
  std::iota(all.begin(), all.end(), 0);
  auto sum = expert->new_sum();
  for (const auto& [begin, end] : {std::pair{0u, 1u}, {1u, 1u}, {1u, 40u}, {40u, 60u}}) {
    auto result = expert->forward({rows, index_tensor(all), begin, end}, true);
    expert->backward(*result.tape, dy, gates, false);
    expert->fold_tape(*sum, *result.tape);
  }
  std::map<std::string, at::Tensor> parameters;
  for (const auto& p : expert->parameters()) parameters[p.name] = to_torch(p.value).requires_grad_(true);
  const auto y = textbook_output(c, parameters, to_torch(rows));
  (y * to_torch(gates).unsqueeze(1) * to_torch(dy)).sum().backward();
  for (const auto& g : gradient_of(*expert, *sum))
    CHECK(relative_distance(to_torch(g.value), parameters.at(g.name).grad()) < bound);
}
