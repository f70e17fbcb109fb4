#include "tests/model/torch/torch_tensor.hpp"
#include "tests/model/trunks/classifier_fixture.hpp"

#include <ATen/ATen.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <cmath>

using namespace troupe;
using namespace troupe::testing;
using troupe::test::to_torch;

namespace {

double absolute_distance(const at::Tensor& got, const at::Tensor& expected) {
  return expected.numel() == 0 ? 0 : (got - expected).abs().max().item<double>();
}

/// The same network written with LibTorch's autograd, one loss per microbatch.
struct textbook {
  explicit textbook(classifier<double>& c) : config(c.config) {
    for (const auto& p : c.dense->parameters()) dense[p.name] = to_torch(p.value).requires_grad_(true);
    for (auto& e : c.experts) {
      experts.emplace_back();
      for (const auto& p : e->parameters()) experts.back()[p.name] = to_torch(p.value).requires_grad_(true);
    }
  }

  at::Tensor expert(const at::Tensor& x, std::size_t e) {
    auto& p = experts[e];
    return at::mm(at::silu(at::mm(x, p["w1"].t()) + p["b1"]), p["w2"].t()) + p["b2"];
  }

  at::Tensor loss(const at::Tensor& x, const at::Tensor& labels) {
    const auto k = static_cast<std::int64_t>(config.model.router.experts_per_token);
    const auto E = static_cast<std::int64_t>(config.model.experts);
    const auto seen = dense.contains("router.input_mean") ? x - dense["router.input_mean"].detach() : x;
    const auto z = at::mm(seen, dense["router.weight"].t());
    const auto P = at::softmax(z, -1);
    const auto S = std::get<1>(at::sort(P.detach(), true, -1, true)).slice(1, 0, k);
    auto g = P.gather(1, S);
    if (config.model.router.renormalise) g = g / g.sum(-1, true);
    auto y = at::zeros({x.size(0), outputs(0)}, x.options());
    std::vector<at::Tensor> importance;
    for (std::int64_t e = 0; e < E; ++e) {
      const auto weight = at::where(S == e, g, at::zeros_like(g)).sum(-1, true);
      y = y + weight * expert(x, static_cast<std::size_t>(e));
      importance.push_back(weight.sum());
    }
    const auto task = config.model.task == "classify" ? at::cross_entropy_loss(y, labels) : y.square().mean();
    const auto n = at::bincount(S.reshape(-1), {}, E).to(at::kDouble);
    const auto mean = P.mean(0);
    const auto sums = at::stack(importance);
    const auto T = static_cast<double>(x.size(0));
    auto total = task;
    for (const auto& l : config.model.router.losses) {
      at::Tensor value;
      if (l.name == "switch") value = E * (n / (T * k) * mean).sum();
      if (l.name == "z") value = at::logsumexp(z, {-1}).square().mean();
      if (l.name == "variance") value = mean.var(true);
      if (l.name == "importance") value = sums.var(true) / (sums.mean().square() + 1e-10);
      total = total + l.coefficient * value;
    }
    return total;
  }

  std::int64_t outputs(std::size_t e) { return experts[e]["w2"].size(0); }

  configuration config;
  std::map<std::string, at::Tensor> dense;
  std::vector<std::map<std::string, at::Tensor>> experts;
};

void check_gradients(classifier<double>& c, textbook& book) {
  for (auto& [name, expected] : book.dense) {
    INFO(name);
    auto got = c.dense_gradients().at(name);
    if (name == "router.input_mean") {
      CHECK(std::ranges::count(got, 0.0) == std::ssize(got)); // nothing changes it
      continue;
    }
    CHECK(absolute_distance(at::tensor(got, at::kDouble).reshape(expected.sizes()), expected.grad()) < 1e-12);
  }
  for (std::size_t e = 0; e < c.experts.size(); ++e)
    for (const auto& g : gradient_of(*c.experts[e], *c.sums[e])) {
      INFO(g.name << " of expert " << e);
      CHECK(absolute_distance(to_torch(g.value), book.experts[e].at(g.name).grad()) < 1e-12);
    }
}

tensor part(const tensor& t, std::int64_t first, std::int64_t rows) {
  const auto bytes = t.bytes() / static_cast<std::size_t>(t.rows());
  auto dims = std::vector<std::int64_t>(t.dims().dims().begin(), t.dims().dims().end());
  dims[0] = rows;
  return {t.type(), shape{std::span<const std::int64_t>(dims)},
          t.data().part(static_cast<std::size_t>(first) * bytes, static_cast<std::size_t>(rows) * bytes)};
}

} // namespace

TEST_CASE("ragged microbatches together have LibTorch's loss and gradients", "[unit]") {
  auto config = classifier<double>::default_configuration();
  config.model.task = GENERATE("classify", "mean_square");
  config.model.router.renormalise = GENERATE(true, false);
  config.model.router.losses.push_back({"importance", 0.2});
  INFO(config.model.task << " renormalise " << config.model.router.renormalise);
  const std::int64_t width = 13;
  const std::int64_t out = config.model.task == "classify" ? 4 : width;
  classifier<double> c(config, widths_of(width, out));
  textbook book(c);
  const auto x = normal_tensor<double>({23, width}, 1);
  const auto all = batch_of(x, out);
  std::int64_t first = 0;
  std::uint32_t microbatch = 0;
  for (const std::int64_t rows : {11, 1, 8, 3}) {
    batch b;
    b.inputs = part(all.inputs, first, rows);
    b.labels = part(all.labels, first, rows);
    b.ids = part(all.ids, first, rows);
    const auto share = static_cast<double>(rows) / 23.0;
    const auto report = c.run({0, 0, microbatch++, true, share}, b);
    const auto loss = book.loss(to_torch(b.inputs), to_torch(b.labels));
    auto ours = report.loss;
    for (const auto& v : report.layers[0].values)
      for (const auto& l : config.model.router.losses)
        if (l.name == v.name) ours += l.coefficient * v.value;
    CHECK(std::abs(ours - loss.item<double>()) < 1e-12);
    (share * loss).backward();
    first += rows;
  }
  check_gradients(c, book);
}

TEST_CASE("learned inputs have LibTorch's gradient through experts and gate", "[unit]") {
  auto config = classifier<double>::default_configuration();
  config.model.task = "mean_square";
  config.model.learn_inputs = true;
  classifier<double> c(config, widths_of(6, 6, 19));
  auto parameters = c.dense->parameters();
  for (auto& p : parameters)
    if (p.name == "inputs") p.value = normal_tensor<double>({19, 6}, 5);
  REQUIRE(c.dense->set_parameters(parameters));
  textbook book(c);
  batch b = batch_of(normal_tensor<double>({9, 6}, 2), 6);
  const std::vector<std::int64_t> ids = {3, 18, 0, 7, 7, 4, 11, 12, 3}; // some twice, some never
  b.ids = tensor::of<std::int64_t>({9}, ids);
  c.run({0, 0, 0, true, 1.0}, b);
  book.loss(at::index_select(book.dense["inputs"], 0, at::tensor(ids)), {}).backward();
  check_gradients(c, book);
}

TEST_CASE(
  "bytes count as pixels between 0 and 1, less their mean, and the router sees them less each column's",
  "[unit]") {
  const auto config = classifier<double>::default_configuration();
  auto widths = widths_of(70, 4);
  const auto mean = normal_tensor<double>({70}, 3);
  if (GENERATE(false, true)) widths.input_mean.assign(mean.as<double>().begin(), mean.as<double>().end());
  classifier<double> c(config, widths);
  textbook book(c);
  auto x = tensor::allocate(dtype::u8, {9, 70});
  auto bytes = x.mutable_as<std::uint8_t>();
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37 % 256);
  const auto b = batch_of(x, 4);
  c.run({0, 0, 0, true, 1.0}, b);
  book.loss(to_torch(x).to(at::kDouble) / 255.0 - 0.286, to_torch(b.labels)).backward();
  check_gradients(c, book);
}
