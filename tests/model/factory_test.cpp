#include "model/extensions.hpp"
#include "model/factory.hpp"

#include "model/data/data_sets.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <set>
#include <stdexcept>

using namespace troupe;
using Catch::Matchers::ContainsSubstring;

namespace {

configuration gaussian() {
  configuration config;
  config.data.name = "gaussian";
  return config;
}

/// An extension that must be called by its name, and makes what the library would make for another.
extensions additions() {
  extensions more;
  more.data_sets["clusters"] = [](const configuration& c) -> expected<std::shared_ptr<const data_source>> {
    return make_gaussian(c.data, 77);
  };
  more.experts["like-mlp"] = [](const configuration& c, const model_shape& shape, owner_id owner) {
    auto plain = c;
    plain.model.expert_kind = "mlp";
    return standard_factory().make_expert(plain, shape, owner);
  };
  more.experts["throws"] = [](const configuration&, const model_shape&,
                              owner_id) -> expected<std::unique_ptr<expert_module>> {
    throw std::runtime_error("no such weights");
  };
  more.experts["null"] = [](const configuration&, const model_shape&,
                            owner_id) -> expected<std::unique_ptr<expert_module>> { return nullptr; };
  more.experts["empty"] = {};
  return more;
}

} // namespace

TEST_CASE("the standard factory makes all parts of a model", "[unit]") {
  const auto config = gaussian();
  const auto factory = standard_factory();
  const auto data = factory.make_data(config);
  REQUIRE(data.has_value());
  const auto shape = shape_of(config, **data).value();
  CHECK(factory.make_trunk(config, shape).value()->layers() == 1);
  std::set<std::string> names;
  for (const auto& item : factory.make_dense(config, shape, 0).value()->parameters()) names.insert(item.name);
  CHECK(names == std::set<std::string>{"router.weight"});
  names.clear();
  for (const auto& item : factory.make_expert(config, shape, {0, 3, 0}).value()->parameters())
    names.insert(item.name);
  CHECK(names == std::set<std::string>{"w1", "b1", "w2", "b2"});
  CHECK(factory.make_dense(config, shape, 1).error().code == error_code::over_limit);
}

TEST_CASE("an expert made for its state has parameters 0 until it gets them", "[unit]") {
  auto config = gaussian();
  const auto factory = standard_factory(additions());
  const auto shape = shape_of(config, **factory.make_data(config)).value();
  const auto drawn = factory.make_expert(config, shape, {0, 3, 0}).value();
  const auto unset = factory.make_unset_expert(config, shape, {0, 3, 0}).value();
  for (const auto& item : unset->parameters())
    for (const auto x : item.value.as<float>()) CHECK(x == 0);
  REQUIRE(unset->load(drawn->save()));
  const auto expected_values = drawn->parameters();
  const auto values = unset->parameters();
  REQUIRE(values.size() == 4);
  for (std::size_t i = 0; i < values.size(); ++i)
    CHECK(std::ranges::equal(values[i].value.as<float>(), expected_values[i].value.as<float>()));
  config.model.expert_kind = "like-mlp"; // made as always
  CHECK(
    std::ranges::equal(factory.make_unset_expert(config, shape, {0, 3, 0}).value()->save().as<std::uint8_t>(),
                       drawn->save().as<std::uint8_t>()));
}

TEST_CASE("unknown names are refused by the factory too", "[unit]") {
  const auto factory = standard_factory();
  auto config = gaussian();
  config.model.expert_kind = "cnn";
  CHECK_THAT(factory.make_expert(config, {}, {}).error().text, ContainsSubstring("--expert: got 'cnn'"));
  config.data.name = "mnist";
  CHECK_THAT(factory.make_data(config).error().text, ContainsSubstring("--data: got 'mnist'"));
}

TEST_CASE("the factory uses what the program adds", "[unit]") {
  const auto factory = standard_factory(additions());
  auto config = gaussian();
  config.data.name = "clusters";
  config.model.expert_kind = "like-mlp";
  const auto data = factory.make_data(config);
  REQUIRE(data.has_value());
  const auto first = [](const data_source& from) {
    return from.read(step_kind::evaluate, 0, 0, 1).inputs.as<float>()[0];
  };
  CHECK(first(**data) == first(*make_gaussian(config.data, 77)));
  const auto shape = shape_of(config, **data).value();
  CHECK(factory.make_expert(config, shape, {0, 0, 0}).has_value());
}

TEST_CASE("an addition that fails becomes an error that names it", "[unit]") {
  const auto factory = standard_factory(additions());
  for (const auto& [name, says] :
       {std::pair{"throws", "no such weights"}, {"null", "null"}, {"empty", "expert 'empty'"}}) {
    auto config = gaussian();
    config.model.expert_kind = name;
    const auto made = factory.make_expert(config, {}, {0, 0, 0});
    REQUIRE_FALSE(made.has_value());
    CHECK_THAT(made.error().text, ContainsSubstring(name) && ContainsSubstring(says));
  }
}

#ifndef __SANITIZE_ADDRESS__ // which ends the process instead
TEST_CASE("an expert for which there is no memory becomes an error that names it", "[unit]") {
  auto config = gaussian();
  config.model.expert_hidden_size = 1 << 20;
  model_shape wide;
  wide.input_width = std::int64_t{1} << 40;
  wide.output_width = 8;
  const auto made = standard_factory().make_expert(config, wide, {0, 3, 0});
  REQUIRE_FALSE(made.has_value());
  CHECK(made.error().code == error_code::unavailable);
  CHECK_THAT(made.error().text, ContainsSubstring("[expert 3] not enough memory"));
}
#endif
