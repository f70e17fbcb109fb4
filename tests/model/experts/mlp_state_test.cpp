#include "tests/model/experts/expert_fixture.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>

using namespace troupe;
using namespace troupe::testing;

namespace {

/// One training step on random rows, a function of `index`.
void train(expert_module& expert, const expert_case& c, std::uint64_t index) {
  const auto indices = index_tensor({4, 1, 0});
  auto result = expert.forward(selection_of(normal_tensor<float>({5, c.in}, index), indices), true);
  expert.backward(*result.tape, normal_tensor<float>({5, c.out}, index + 100),
                  normal_tensor<float>({3}, index + 200), false);
  auto sum = expert.new_sum();
  expert.fold_tape(*sum, *result.tape);
  expert.apply(*sum, {0.01, 1, index});
}

} // namespace

TEST_CASE("an expert goes on from its saved state as if it had never stopped", "[unit]") {
  const expert_case c{.activation = GENERATE("relu", "swiglu"),
                      .optimizer = GENERATE("sgd", "adam", "adamw")};
  auto config = c.config();
  config.optimizer.momentum = c.optimizer == "sgd" ? 0.9 : 0;
  auto a = make_mlp_expert(config, c.widths(), {0, 1, 0}).value();
  auto b = make_mlp_expert(config, c.widths(), {3, 5, 0}).value();
  for (std::uint64_t i = 0; i < 3; ++i) train(*a, c, i);
  const auto state = a->save();
  CHECK_FALSE(same_bytes(state, b->save()));
  REQUIRE(b->load(state));
  CHECK(same_bytes(state, b->save()));
  for (std::uint64_t i = 3; i < 6; ++i) {
    train(*a, c, i);
    train(*b, c, i);
  }
  CHECK(same_bytes(a->save(), b->save()));
}

TEST_CASE("a state of another shape, type, optimizer or length is refused and changes nothing", "[unit]") {
  const expert_case c{.optimizer = "adam"};
  auto expert = c.make();
  train(*expert, c, 0);
  const auto before = expert->save();
  for (const auto& other :
       {expert_case{.hidden = 49, .optimizer = "adam"},
        expert_case{.activation = "relu", .optimizer = "adam"},
        expert_case{.precision = "f64", .optimizer = "adam"}, expert_case{.bias = false, .optimizer = "adam"},
        expert_case{.optimizer = "sgd"}}) {
    const auto loaded = expert->load(other.make()->save());
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().code == error_code::malformed);
  }
  auto short_state = tensor(dtype::u8, {static_cast<std::int64_t>(before.bytes()) - 1},
                            before.data().part(0, before.bytes() - 1));
  CHECK_FALSE(expert->load(short_state));
  CHECK_FALSE(expert->load({}));
  CHECK(same_bytes(expert->save(), before));
}

TEST_CASE("padding in a state from elsewhere is ignored", "[unit]") {
  const expert_case c{.hidden = 3, .out = 2};
  auto expert = c.make();
  const auto clean = expert->save();
  auto dirty = tensor(dtype::u8, clean.dims(), blob::copy_of(clean.data().bytes()));
  // Every parameter byte that is 0 is padding, for random parameters, or part of a number that stays finite.
  auto bytes = dirty.mutable_as<std::uint8_t>();
  std::size_t changed = 0;
  for (std::size_t i = 64; i + 4 <= bytes.size(); i += 4)
    if (std::all_of(&bytes[i], &bytes[i] + 4, [](auto v) { return v == 0; })) {
      bytes[i + 2] = 0x7f; // a small positive float
      ++changed;
    }
  REQUIRE(changed > 0);
  REQUIRE(expert->load(dirty));
  CHECK(same_bytes(expert->save(), clean));
}

TEST_CASE("parameters come out and go in by name and canonical shape", "[unit]") {
  const expert_case plain{.in = 5, .hidden = 70, .out = 3};
  auto a = plain.make({0, 1, 0});
  auto b = plain.make({0, 2, 0});
  auto values = a->parameters();
  REQUIRE(values.size() == 4);
  CHECK(values[0].name == "w1");
  CHECK(values[0].value.dims() == shape{70, 5});
  CHECK(values[1].name == "b1");
  CHECK(values[1].value.dims() == shape{70});
  CHECK(values[2].name == "w2");
  CHECK(values[2].value.dims() == shape{3, 70});
  CHECK(values[3].name == "b2");
  CHECK(values[3].value.dims() == shape{3});
  CHECK_FALSE(same_bytes(values[0].value, b->parameters()[0].value));
  std::ranges::reverse(values);
  REQUIRE(b->set_parameters(values));
  for (std::size_t i = 0; i < 4; ++i) CHECK(same_bytes(a->parameters()[i].value, b->parameters()[i].value));

  const auto gated = expert_case{.activation = "swiglu", .bias = false}.make()->parameters();
  REQUIRE(gated.size() == 3);
  CHECK((gated[0].name == "w_gate" && gated[1].name == "w_up" && gated[2].name == "w_down"));
}

TEST_CASE("parameters with a wrong name, shape, type or number are refused and change nothing", "[unit]") {
  const expert_case c;
  auto expert = c.make();
  const auto good = expert->parameters();
  const auto before = expert->save();
  auto missing = good;
  missing.pop_back();
  auto renamed = good;
  renamed[0].name = "w9";
  auto reshaped = good;
  reshaped[0].value = tensor::zeros(dtype::f32, {c.in, c.hidden});
  auto retyped = good;
  retyped[3].value = tensor::zeros(dtype::f64, {c.out});
  auto extra = good;
  extra.push_back({"b9", tensor::zeros(dtype::f32, {1})});
  for (const auto& bad : {missing, renamed, reshaped, retyped, extra}) {
    const auto set = expert->set_parameters(bad);
    REQUIRE_FALSE(set);
    CHECK(set.error().code == error_code::malformed);
  }
  CHECK(same_bytes(expert->save(), before));
}

TEST_CASE("an expert's start depends on seed, layer and expert, and on nothing else", "[unit]") {
  const expert_case c;
  const auto first = [&](owner_id owner) { return c.make(owner)->parameters()[0].value; };
  CHECK(same_bytes(first({0, 1, 0}), first({0, 1, 0})));
  CHECK_FALSE(same_bytes(first({0, 1, 0}), first({0, 2, 0})));
  CHECK_FALSE(same_bytes(first({0, 1, 0}), first({1, 1, 0})));
  auto config = c.config();
  config.schedule.seed = 8;
  CHECK_FALSE(same_bytes(first({0, 1, 0}),
                         make_mlp_expert(config, c.widths(), {0, 1, 0}).value()->parameters()[0].value));
}
