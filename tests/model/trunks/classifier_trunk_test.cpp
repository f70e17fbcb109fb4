#include "model/run_failure.hpp"
#include "model/trunks/gate_kernels.hpp"
#include "tests/model/trunks/classifier_fixture.hpp"
#include "tests/model/trunks/pixel_fixture.hpp"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

using namespace troupe;
using namespace troupe::testing;

namespace {

const named_value* find(const microbatch_report& report, const std::string& name) {
  for (const auto& v : report.layers.at(0).values)
    if (v.name == name) return &v;
  return nullptr;
}

/// Σ z, which also writes down whether each call asked for its gradient.
class watched_loss : public router_loss<double> {
public:
  explicit watched_loss(std::vector<bool>& with_gradient) : with_gradient_(with_gradient) {
    // nop
  }

  double evaluate(const loss_input<double>& in, double scale, loss_gradient<double>* out) const override {
    with_gradient_.push_back(out != nullptr);
    if (out != nullptr)
      for (auto& g : out->logits) g += scale;
    return std::accumulate(in.logits.data, in.logits.data + in.logits.rows * in.logits.columns, 0.0);
  }

private:
  std::vector<bool>& with_gradient_;
};

} // namespace

TEST_CASE("gate products in single precision are those in double", "[unit]") {
  for (const std::int64_t width : {1, 15, 16, 63, 64, 65, 784})
    for (const std::int64_t experts : {1, 2, 3, 4, 7, 64})
      for (const bool bytes : {true, false}) {
        INFO(experts << " experts, width " << width << (bytes ? ", bytes" : ", numbers"));
        const std::int64_t rows = 19;
        const auto x = bytes ? pixels(rows, width) : normal_tensor<float>({rows, width}, 1);
        const auto w = normal_tensor<float>({experts, width}, 2);
        const auto g = normal_tensor<float>({rows, experts}, 3);
        const std::vector<double> wide_w(w.as<float>().begin(), w.as<float>().end());
        const std::vector<double> wide_g(g.as<float>().begin(), g.as<float>().end());
        std::vector<float> z(static_cast<std::size_t>(rows * experts)),
          dw(static_cast<std::size_t>(experts * width));
        std::vector<double> wide_z(z.size()), wide_dw(dw.size());
        gate_logits<float>(x, w.as<float>().data(), experts, z.data());
        gate_logits<double>(x, wide_w.data(), experts, wide_z.data());
        add_gate_weight_gradient<float>(x, g.as<float>().data(), experts, dw.data());
        add_gate_weight_gradient<double>(x, wide_g.data(), experts, wide_dw.data());
        const auto scale = std::sqrt(static_cast<double>(width));
        for (std::size_t i = 0; i < z.size(); ++i) CHECK(std::abs(z[i] - wide_z[i]) < 2e-6 * scale);
        for (std::size_t i = 0; i < dw.size(); ++i) CHECK(std::abs(dw[i] - wide_dw[i]) < 1e-5);
      }
}

TEST_CASE("a row is routed and combined alike in whatever microbatch it comes", "[unit]") {
  auto config = classifier<float>::default_configuration();
  classifier<float> c(config, widths_of(13, 4));
  const auto x = normal_tensor<float>({30, 13}, 1);
  c.run({0, 0, 0, false, 1.0}, batch_of(x, 4));
  const auto all = c.last().y;
  const auto gates = c.last().chosen.gates;
  const auto few = tensor::of<float>({3, 13}, x.as<float>().subspan(21 * 13, 3 * 13));
  c.run({0, 0, 0, false, 1.0}, batch_of(few, 4));
  CHECK(std::equal(c.last().y.begin(), c.last().y.end(), all.begin() + 21 * 4));
  CHECK(std::equal(c.last().chosen.gates.begin(), c.last().chosen.gates.end(), gates.begin() + 21 * 3));
}

TEST_CASE("one expert with a renormalised gate is its dense network bit for bit", "[unit]") {
  auto config = classifier<float>::default_configuration();
  config.model.experts = 1;
  config.model.router.experts_per_token = 1;
  config.model.router.losses = {{"switch", 0.01}};
  classifier<float> c(config, widths_of(13, 4));
  const auto x = normal_tensor<float>({17, 13}, 1);
  c.run({0, 0, 0, false, 1.0}, batch_of(x, 4));
  std::vector<std::int32_t> every(17);
  std::iota(every.begin(), every.end(), 0);
  const auto dense = c.experts[0]->forward({x, index_tensor(every), 0, 17}, false);
  CHECK(std::equal(c.last().y.begin(), c.last().y.end(), dense.output.as<float>().begin()));
}

TEST_CASE("dropped tokens give zero, are counted, and send no gradient to their gates", "[unit]") {
  auto config = classifier<double>::default_configuration();
  config.model.router.name = "switch";
  config.model.router.experts_per_token = 1;
  config.model.router.losses = {};
  config.model.router.capacity_policy = "token_major";
  config.model.router.capacity_factor = 0.4; // C = ⌈20/5 · 0.4⌉ = 2
  config.model.router.capacity_factor_eval = 100;
  classifier<double> c(config, widths_of(6, 3));
  const auto b = batch_of(normal_tensor<double>({20, 6}, 1), 3);
  const auto report = c.run({0, 0, 0, true, 1.0}, b);
  const auto& tape = c.last();
  REQUIRE(tape.capacity == 2);
  double dropped = 0;
  for (std::size_t t = 0; t < 20; ++t) {
    const bool gone = !tape.surviving->kept[t];
    dropped += gone;
    const std::span row(tape.gradient.logits.data() + t * 5, 5);
    CHECK(std::all_of(row.begin(), row.end(), [](double g) { return g == 0; }) == gone);
    for (int j = 0; gone && j < 3; ++j) CHECK(tape.y[t * 3 + static_cast<std::size_t>(j)] == 0);
  }
  CHECK(dropped > 0);
  CHECK(find(report, "dropped")->value == Catch::Approx(dropped / 20));
  std::uint64_t before = 0;
  for (const auto n : report.layers[0].expert_rows) before += n;
  CHECK(before == 20); // counts are those before dropping
  CHECK(find(c.run({0, 0, 0, false, 1.0}, b), "dropped")->value == 0);
}

TEST_CASE("correct rows take the lowest index on ties and evaluations count classes per expert", "[unit]") {
  auto config = classifier<double>::default_configuration();
  classifier<double> c(config, widths_of(6, 3));
  for (auto& e : c.experts) { // all outputs 0: a tie of the three classes
    auto values = e->parameters();
    for (auto& v : values) v.value = tensor::zeros(v.value.type(), v.value.dims());
    REQUIRE(e->set_parameters(values));
  }
  const auto report = c.run({0, 0, 0, false, 1.0}, batch_of(normal_tensor<double>({12, 6}, 1), 3));
  CHECK(report.correct == 4); // labels 1 0 2 1 0 2 …: a third is 0
  CHECK(report.loss == Catch::Approx(std::log(3.0)));
  std::uint64_t pairs = 0;
  for (const auto n : report.expert_class) pairs += n;
  CHECK(report.expert_class.size() == 15);
  CHECK(pairs == 36);
}

TEST_CASE("random routers draw the same for one place and others elsewhere, and not in evaluations",
          "[unit]") {
  auto config = classifier<float>::default_configuration();
  config.model.router.name = "noisy_top_k";
  config.model.router.losses = {{"importance", 0.1}, {"load", 0.1}};
  classifier<float> c(config, widths_of(6, 3));
  const auto b = batch_of(normal_tensor<float>({12, 6}, 1), 3);
  const auto draws_at = [&](std::uint64_t ordinal, std::uint32_t microbatch, bool training) {
    c.run({0, ordinal, microbatch, training, 1.0}, b);
    return c.last().draws;
  };
  const auto first = draws_at(3, 1, true);
  CHECK(first.size() == 60);
  CHECK(draws_at(3, 1, true) == first);
  CHECK(draws_at(4, 1, true) != first);
  CHECK(draws_at(3, 2, true) != first);
  CHECK(draws_at(3, 1, false).empty());
}

TEST_CASE("weights that are not finite and labels out of range end the run with the token named", "[unit]") {
  auto config = classifier<float>::default_configuration();
  classifier<float> c(config, widths_of(6, 3));
  auto x = normal_tensor<float>({12, 6}, 1);
  x.mutable_as<float>()[6 * 7] = std::numeric_limits<float>::infinity();
  const auto failure = [&](const batch& b) {
    try {
      c.run({0, 0, 0, true, 1.0}, b);
    } catch (const run_failure& e) {
      return e.reason().text;
    }
    return std::string();
  };
  CHECK(failure(batch_of(x, 3)).find("layer 0, token 7") != std::string::npos);
  CHECK(failure(batch_of(normal_tensor<float>({12, 6}, 1), 9)).find("limit 0 to 2") != std::string::npos);
}

TEST_CASE("gates, router losses and their gradients that are not finite end the run by name", "[unit]") {
  auto config = classifier<float>::default_configuration();
  const auto failure = [&](const batch& b, auto&& change) {
    classifier<float> c(config, widths_of(6, 3));
    change(c);
    try {
      c.run({0, 0, 0, true, 1.0}, b);
    } catch (const run_failure& e) {
      return e.reason().text;
    }
    return std::string();
  };
  const auto set_dense = [](auto& c, const std::string& name, float value) {
    auto values = c.dense->parameters();
    for (auto& v : values)
      if (v.name == name)
        for (auto& x : v.value.template mutable_as<float>()) x = value;
    REQUIRE(c.dense->set_parameters(values));
  };
  const auto b = batch_of(normal_tensor<float>({12, 6}, 1), 3);
  // Logits are finite, but an expert's output is not.
  CHECK_THAT(
    failure(b,
            [](auto& c) {
              auto values = c.experts[2]->parameters();
              for (auto& v : values)
                for (auto& x : v.value.template mutable_as<float>()) x = 1e38f;
              REQUIRE(c.experts[2]->set_parameters(values));
            }),
    Catch::Matchers::Matches(
      R"(\[trunk\] task loss: got (inf|nan), limit finite; lower the learning rate or clip gradients)"));
  config.model.shared_experts = 1;
  config.model.shared_expert_gate = true;
  CHECK_THAT(failure(b, [&](auto& c) { set_dense(c, "shared.gate", 3e38f); }),
             Catch::Matchers::StartsWith("[router] logit of the shared expert's gate, token "));
  config.model.shared_experts = 0;
  config.model.shared_expert_gate = false;
  config.model.precision = "f64";
  config.model.router.losses = {{"z", 0.1}};
  classifier<double> wide(config, widths_of(6, 3));
  auto x = normal_tensor<double>({12, 6}, 1);
  for (auto& v : x.mutable_as<double>()) v *= 1e200; // so are the logits, and the loss squares them
  try {
    wide.run({0, 0, 0, true, 1.0}, batch_of(x, 3));
    FAIL("the run goes on");
  } catch (const run_failure& e) {
    CHECK(e.reason().text
          == "[router] loss 'z': got inf, limit finite; lower the learning rate or clip gradients");
  }
}

TEST_CASE("a router loss is evaluated once per microbatch, with its gradient where it counts", "[unit]") {
  const auto b = batch_of(normal_tensor<double>({12, 6}, 1), 3);
  std::vector<bool> with_gradient;
  const auto logit_gradients = [&](double coefficient, bool training) {
    classifier<double> c(classifier<double>::default_configuration(), widths_of(6, 3));
    auto parts = make_classifier_parts<double>(c.config, c.widths, {}).value();
    parts.losses.clear();
    parts.losses.push_back({"sum", coefficient, std::make_unique<watched_loss>(with_gradient)});
    c.trunk = make_classifier_trunk(std::move(parts));
    const auto report = c.run({0, 0, 0, training, 0.25}, b);
    const auto& z = c.last().logits;
    CHECK(find(report, "sum")->value == Catch::Approx(std::accumulate(z.begin(), z.end(), 0.0)));
    return c.last().gradient.logits;
  };
  const auto task = logit_gradients(0, true);
  const auto both = logit_gradients(2, true);
  for (std::size_t i = 0; i < task.size(); ++i) CHECK(both[i] - task[i] == Catch::Approx(0.25 * 2));
  CHECK(logit_gradients(2, false).empty());
  CHECK(with_gradient == std::vector{false, true, false});
}

TEST_CASE("the selection bias follows the counts of the whole step and no optimizer", "[unit]") {
  auto config = classifier<double>::default_configuration();
  config.model.router.name = "sigmoid_bias";
  config.model.router.bias_update_rate = 0.25;
  config.model.router.losses = {};
  classifier<double> c(config, widths_of(6, 3));
  const auto whole =
    c.run({0, 0, 0, true, 0.5}, batch_of(normal_tensor<double>({12, 6}, 1), 3)).layers[0].expert_rows;
  const auto more =
    c.run({0, 0, 1, true, 0.5}, batch_of(normal_tensor<double>({12, 6}, 2), 3)).layers[0].expert_rows;
  const auto lane = c.dense->sum_of(c.dense_gradient);
  const auto norm = c.dense->squared_norm(*lane);
  double expected = 0;
  const auto gradients = c.dense_gradients();
  for (const auto g : gradients.at("router.weight")) expected += g * g;
  CHECK(norm == Catch::Approx(expected));
  c.dense->apply(*lane, {0.1, 1.0, 0});
  const auto parameters = c.dense->parameters();
  REQUIRE(parameters.back().name == "router.bias");
  for (std::size_t e = 0; e < 5; ++e) {
    const auto n = static_cast<double>(whole[e] + more[e]);
    const auto mean = 24.0 * 3 / 5;
    CHECK(parameters.back().value.as<double>()[e] == (n < mean ? 0.25 : n > mean ? -0.25 : 0.0));
  }
}

TEST_CASE("the dense part's state survives saving and refuses what is not its own", "[unit]") {
  auto config = classifier<float>::default_configuration();
  config.optimizer.name = "adam";
  classifier<float> a(config, widths_of(13, 4));
  const auto b = batch_of(normal_tensor<float>({9, 13}, 1), 4);
  a.run({0, 0, 0, true, 1.0}, b);
  const auto sum = a.dense->sum_of(a.dense_gradient);
  a.dense->apply(*sum, {0.1, 1, 0});
  auto other = make_classifier_dense(config, widths_of(13, 4), extensions{}).value();
  REQUIRE(other->load(a.dense->save()));
  a.dense->apply(*sum, {0.1, 1, 1});
  other->apply(*sum, {0.1, 1, 1});
  CHECK(std::ranges::equal(a.dense->flat().as<float>(), other->flat().as<float>()));
  CHECK(!other->load(tensor::zeros(dtype::u8, {12})));
  auto values = other->parameters();
  values[0].name = "router.wait";
  CHECK(!other->set_parameters(values));
  values[0] = {"router.weight", tensor::zeros(dtype::f32, {5, 12})};
  CHECK(!other->set_parameters(values));
}
