#include "tests/model/experts/expert_fixture.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <cmath>

using namespace troupe;
using namespace troupe::testing;

namespace {

/// Output and dL/dx rows and the gradient of one microbatch.
struct pass {
  tensor output;
  tensor input_gradient;
  std::vector<named_tensor> gradient;
};

pass run(expert_module& expert, const tensor& rows, const tensor& indices, const tensor& dy,
         const tensor& gates) {
  auto result = expert.forward(selection_of(rows, indices), true);
  pass p;
  p.output = result.output;
  p.input_gradient = expert.backward(*result.tape, dy, gates, true);
  auto sum = expert.new_sum();
  expert.fold_tape(*sum, *result.tape);
  p.gradient = gradient_of(expert, *sum);
  return p;
}

bool same(const std::vector<named_tensor>& a, const std::vector<named_tensor>& b) {
  return std::ranges::equal(
    a, b, [](const auto& x, const auto& y) { return x.name == y.name && same_bytes(x.value, y.value); });
}

} // namespace

TEST_CASE("permuted rows give permuted outputs and input gradients, bit for bit", "[unit]") {
  const expert_case c{.activation = GENERATE("relu", "silu", "gelu", "swiglu")};
  auto expert = c.make();
  constexpr std::int32_t n = 101;
  const auto rows = normal_tensor<float>({n, c.in}, 1);
  const auto dy = normal_tensor<float>({n, c.out}, 2);
  const auto gates = normal_tensor<float>({n}, 3);
  std::vector<std::int32_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  const auto plain = run(*expert, rows, index_tensor(order), dy, gates);
  std::vector<std::int32_t> shuffled = order;
  const philox_stream random(5, "shuffle");
  for (std::size_t i = shuffled.size() - 1; i > 0; --i)
    std::swap(shuffled[i], shuffled[random.below(i, i + 1)]);
  auto own_gates = tensor::allocate(dtype::f32, {n});
  for (std::size_t i = 0; i < shuffled.size(); ++i)
    own_gates.mutable_as<float>()[i] = gates.as<float>()[static_cast<std::size_t>(shuffled[i])];
  const auto mixed = run(*expert, rows, index_tensor(shuffled), dy, own_gates);
  const auto row = [](const tensor& t, std::int32_t i) {
    const auto width = static_cast<std::size_t>(t.row_elements());
    return t.as<float>().subspan(static_cast<std::size_t>(i) * width, width);
  };
  for (std::int32_t i = 0; i < n; ++i) {
    const auto from = shuffled[static_cast<std::size_t>(i)];
    REQUIRE(std::ranges::equal(row(mixed.output, i), row(plain.output, from)));
    REQUIRE(std::ranges::equal(row(mixed.input_gradient, i), row(plain.input_gradient, from)));
  }
}

TEST_CASE("a row's output does not depend on how many rows are computed with it", "[unit]") {
  const expert_case c{.activation = GENERATE("relu", "silu", "gelu", "swiglu")};
  auto expert = c.make();
  const auto rows = normal_tensor<float>({130, c.in}, 1);
  std::vector<std::int32_t> all(130);
  std::iota(all.begin(), all.end(), 0);
  const auto indices = index_tensor(all);
  const auto whole = expert->forward(selection_of(rows, indices), false).output;
  const auto width = static_cast<std::size_t>(c.out);
  for (std::uint32_t n : {1, 2, 3, 4, 5, 64, 97})
    for (std::uint32_t begin : {0, 1, 7, 33}) {
      const auto part = expert->forward({rows, indices, begin, begin + n}, false).output;
      REQUIRE(part.rows() == n);
      CHECK(std::ranges::equal(part.as<float>(), whole.as<float>().subspan(begin * width, n * width)));
    }
}

TEST_CASE("an expert without rows has empty outputs and gradient exactly 0", "[unit]") {
  const expert_case c{.activation = GENERATE("relu", "silu", "gelu", "swiglu")};
  auto expert = c.make();
  const auto before = expert->parameters();
  const auto none = run(*expert, normal_tensor<float>({3, c.in}, 1), index_tensor({}),
                        normal_tensor<float>({3, c.out}, 2), normal_tensor<float>({0}, 3));
  CHECK(none.output.dims() == shape{0, c.out});
  CHECK(none.input_gradient.dims() == shape{0, c.in});
  for (const auto& g : none.gradient)
    CHECK(std::ranges::all_of(g.value.as<float>(), [](float v) { return v == 0; }));
  auto sum = expert->new_sum();
  CHECK(expert->squared_norm(*sum) == 0);
  expert->apply(*sum, {0.1, 1, 0});
  CHECK(same(expert->parameters(), before));
  // The rows may be missing altogether: a bundle of zero rows has no table.
  CHECK(expert->forward({tensor{}, index_tensor({}), 0, 0}, true).output.rows() == 0);
}

TEST_CASE("pixels as bytes equal the same pixels as numbers, bit for bit", "[unit]") {
  const expert_case c{.in = 784, .activation = GENERATE("relu", "silu", "gelu", "swiglu")};
  auto expert = c.make();
  constexpr std::int64_t n = 70;
  auto bytes = tensor::allocate(dtype::u8, {n, c.in});
  auto floats = tensor::allocate(dtype::f32, {n, c.in});
  const philox_stream random(3, "pixels");
  for (std::size_t i = 0; i < static_cast<std::size_t>(n * c.in); ++i) {
    bytes.mutable_as<std::uint8_t>()[i] = static_cast<std::uint8_t>(random.word(i));
    floats.mutable_as<float>()[i] = static_cast<float>(bytes.as<std::uint8_t>()[i]) / 255.f - 0.286f;
  }
  std::vector<std::int32_t> indices;
  for (std::int32_t i = 0; i < n; i += 2) indices.push_back((i * 37) % n);
  const auto dy = normal_tensor<float>({n, c.out}, 2);
  const auto gates = normal_tensor<float>({static_cast<std::int64_t>(indices.size())}, 3);
  const auto a = run(*expert, bytes, index_tensor(indices), dy, gates);
  const auto b = run(*expert, floats, index_tensor(indices), dy, gates);
  CHECK(same_bytes(a.output, b.output));
  CHECK(same_bytes(a.input_gradient, b.input_gradient));
  CHECK(same(a.gradient, b.gradient));
}

TEST_CASE("memory is reused without changing a result", "[unit]") {
  const expert_case c{.hidden = 33, .activation = GENERATE("relu", "silu", "gelu", "swiglu")};
  auto expert = c.make();
  const auto rows = normal_tensor<float>({40, c.in}, 1);
  const auto dy = normal_tensor<float>({40, c.out}, 2);
  const auto gates = normal_tensor<float>({40}, 3);
  std::vector<std::int32_t> all(40);
  std::iota(all.begin(), all.end(), 0);
  const auto first = run(*expert, rows, index_tensor(all), dy, gates);
  const auto big = normal_tensor<float>({40, c.in}, 9);
  for (int i = 0; i < 3; ++i) run(*expert, big, index_tensor({39, 0, 5}), dy, gates);
  const auto again = run(*expert, rows, index_tensor(all), dy, gates);
  CHECK(same_bytes(first.output, again.output));
  CHECK(same_bytes(first.input_gradient, again.input_gradient));
  CHECK(same(first.gradient, again.gradient));
}

TEST_CASE("lanes fold left to right, and an empty lane changes nothing", "[unit]") {
  const expert_case c{.precision = "f32"};
  auto expert = c.make();
  const auto rows = normal_tensor<float>({30, c.in}, 1);
  const auto dy = normal_tensor<float>({30, c.out}, 2);
  const auto gates = normal_tensor<float>({10}, 3);
  const auto lane_of = [&](std::int32_t first) {
    std::vector<std::int32_t> indices(10);
    std::iota(indices.begin(), indices.end(), first);
    auto result = expert->forward(selection_of(rows, index_tensor(indices)), true);
    expert->backward(*result.tape, dy, gates, false);
    auto sum = expert->new_sum();
    expert->fold_tape(*sum, *result.tape);
    return sum;
  };
  auto a = lane_of(0), b = lane_of(10), d = lane_of(20), empty = expert->new_sum();
  const auto ga = gradient_of(*expert, *a), gb = gradient_of(*expert, *b), gd = gradient_of(*expert, *d);
  auto total = expert->new_sum();
  expert->fold(*total, *a);
  expert->fold(*total, *empty);
  expert->fold(*total, *b);
  expert->fold(*total, *d);
  const auto got = gradient_of(*expert, *total);
  double squared = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    for (std::size_t j = 0; j < got[i].value.as<float>().size(); ++j) {
      const auto at = [&](const auto& g) { return g[i].value.template as<float>()[j]; };
      REQUIRE(at(got) == (at(ga) + at(gb)) + at(gd));
      squared += static_cast<double>(at(got)) * at(got);
    }
  CHECK(std::abs(expert->squared_norm(*total) - squared) < 1e-12 * squared);
}

TEST_CASE("impossible experts are refused with the option's name", "[unit]") {
  const auto text = [](const expert_case& c) {
    const auto made = make_mlp_expert(c.config(), c.widths(), {});
    return made ? std::string("made") : made.error().text;
  };
  CHECK(text({.activation = "tanh"}).find("activation: got 'tanh'") != std::string::npos);
  CHECK(text({.precision = "f16"}).find("precision: got 'f16'") != std::string::npos);
  CHECK(text({.in = 0}).find("widths: got 0 to 50 to 10") != std::string::npos);
}
