#include "model/data/data_sets.hpp"

#include "model/checkpoint/safetensors.hpp"
#include "model/random.hpp"
#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cstring>
#include <limits>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;

namespace {

bool same(const tensor& a, const tensor& b) {
  return a.type() == b.type() && a.dims() == b.dims()
         && std::memcmp(a.data().data(), b.data().data(), a.bytes()) == 0;
}

template <class T>
named_tensor named(const std::string& name, shape dims, std::initializer_list<T> values) {
  return {name, tensor::of<T>(dims, std::span<const T>(values.begin(), values.size()))};
}

/// The error for a file with these tensors.
error tensors_problem(const std::vector<named_tensor>& tensors) {
  temporary_directory directory;
  REQUIRE(write_safetensors(directory / "rows.safetensors", tensors, {}).has_value());
  const auto data = open_tensors(directory / "rows.safetensors");
  REQUIRE_FALSE(data.has_value());
  CHECK_THAT(data.error().text, ContainsSubstring("rows.safetensors"));
  return data.error();
}

} // namespace

TEST_CASE("Gaussian clusters are a function of the seed alone", "[unit]") {
  const data_options options;
  const auto first = make_gaussian(options, 9), again = make_gaussian(options, 9),
             other = make_gaussian(options, 10);
  CHECK(first->rows(step_kind::train) == 8192);
  CHECK(first->rows(step_kind::evaluate) == 2048);
  const auto rows = first->read(step_kind::train, 0, 100, 50);
  CHECK(rows.inputs.type() == dtype::f32);
  CHECK(same(rows.inputs, again->read(step_kind::train, 0, 100, 50).inputs));
  CHECK_FALSE(same(rows.inputs, other->read(step_kind::train, 0, 100, 50).inputs));
  CHECK_FALSE(same(rows.inputs, first->read(step_kind::train, 1, 100, 50).inputs));
}

TEST_CASE("a Gaussian row is its class's centre and noise of its own, drawn by index", "[unit]") {
  data_options options;
  options.gaussian_rows = 40;
  options.gaussian_width = 5;
  for (const std::int64_t classes : {3, 1, 100}) {
    options.gaussian_classes = classes;
    const auto data = make_gaussian(options, 6);
    const philox_stream centre(6, "data/gaussian/centre"), noise(6, "data/gaussian/noise");
    for (const auto kind : {step_kind::train, step_kind::evaluate}) {
      const auto rows = data->read(kind, 0, 0, kind == step_kind::train ? 40 : 10);
      for (std::size_t i = 0; i < rows.ids.as<std::int64_t>().size(); ++i) {
        const auto row = rows.ids.as<std::int64_t>()[i] + (kind == step_kind::train ? 0 : 40);
        REQUIRE(rows.labels.as<std::int64_t>()[i] == row % classes);
        for (std::int64_t j = 0; j < 5; ++j)
          REQUIRE(rows.inputs.as<float>()[i * 5 + static_cast<std::size_t>(j)]
                  == static_cast<float>(centre.normal(static_cast<std::uint64_t>(row % classes * 5 + j))
                                        + noise.normal(static_cast<std::uint64_t>(row * 5 + j))));
      }
    }
  }
}

TEST_CASE("test rows of the Gaussian clusters are nearest to the mean of their class", "[unit]") {
  const data_options options;
  const auto data = make_gaussian(options, 1);
  const auto train = data->read(step_kind::train, 0, 0, data->rows(step_kind::train));
  const auto test = data->read(step_kind::evaluate, 0, 0, data->rows(step_kind::evaluate));
  std::vector<std::vector<double>> means(8, std::vector<double>(32));
  for (std::size_t i = 0; i < 8192; ++i)
    for (std::size_t j = 0; j < 32; ++j)
      means[static_cast<std::size_t>(train.labels.as<std::int64_t>()[i])][j] += train.inputs
                                                                                  .as<float>()[i * 32 + j]
                                                                                / 1024;
  int right = 0;
  for (std::size_t i = 0; i < 2048; ++i) {
    std::size_t best = 0;
    double nearest = std::numeric_limits<double>::infinity();
    for (std::size_t c = 0; c < 8; ++c) {
      double distance = 0;
      for (std::size_t j = 0; j < 32; ++j) {
        const auto difference = test.inputs.as<float>()[i * 32 + j] - means[c][j];
        distance += difference * difference;
      }
      if (distance < nearest) nearest = distance, best = c;
    }
    right += static_cast<std::size_t>(test.labels.as<std::int64_t>()[i]) == best ? 1 : 0;
  }
  // Two centres are √(2·32) = 8 standard deviations apart on average.
  CHECK(right > 2000);
}

TEST_CASE("a tensor file is training and test part alike, in file order", "[unit]") {
  temporary_directory directory;
  const std::vector<named_tensor> tensors = {named<double>("inputs", {3, 2}, {1, 2, 3, 4, 5, 6}),
                                             named<std::int64_t>("labels", {3}, {2, 0, 4})};
  REQUIRE(write_safetensors(directory / "rows.safetensors", tensors, {}).has_value());
  configuration config;
  config.data = {"tensors", directory / "rows.safetensors"};
  const auto data = open_data(config);
  REQUIRE(data.has_value());
  CHECK((*data)->classes() == 5);
  CHECK((*data)->input_width() == 2);
  for (auto kind : {step_kind::train, step_kind::evaluate}) {
    const auto rows = (*data)->read(kind, 3, 1, 2);
    CHECK(same(rows.inputs, tensor::of<double>({2, 2}, std::array<double, 4>{3, 4, 5, 6})));
    CHECK(same(rows.labels, tensor::of<std::int64_t>({2}, std::array<std::int64_t, 2>{0, 4})));
    CHECK(same(rows.ids, tensor::of<std::int64_t>({2}, std::array<std::int64_t, 2>{1, 2})));
  }
}

TEST_CASE("a tensor file needs no labels, and takes bytes", "[unit]") {
  temporary_directory directory;
  const std::vector<named_tensor> tensors = {named<std::uint8_t>("inputs", {2, 2}, {1, 2, 3, 4})};
  REQUIRE(write_safetensors(directory / "rows.safetensors", tensors, {}).has_value());
  const auto data = open_tensors(directory / "rows.safetensors").value();
  CHECK(data->classes() == 0);
  CHECK_FALSE(data->read(step_kind::train, 0, 0, 2).labels.present());
  CHECK(data->read(step_kind::train, 0, 0, 2).inputs.type() == dtype::u8);
}

TEST_CASE("tensor files that make no data set are refused", "[unit]") {
  const auto inputs = named<float>("inputs", {2, 1}, {1, 2});
  CHECK(open_tensors("no such file").error().code == error_code::not_found);
  CHECK_THAT(tensors_problem({named<float>("rows", {1, 1}, {1})}).text,
             ContainsSubstring("'inputs': got none"));
  CHECK_THAT(tensors_problem({named<std::int32_t>("inputs", {1, 1}, {1})}).text,
             ContainsSubstring("got i32, limit u8"));
  CHECK_THAT(tensors_problem({named<float>("inputs", {2}, {1, 2})}).text, ContainsSubstring("got shape [2]"));
  CHECK_THAT(tensors_problem({named<float>("inputs", {0, 2}, {})}).text,
             ContainsSubstring("got shape [0, 2]"));
  CHECK_THAT(
    tensors_problem({named<float>("inputs", {2, 1}, {1, std::numeric_limits<float>::quiet_NaN()})}).text,
    ContainsSubstring("row 1: got nan"));
  CHECK_THAT(tensors_problem({inputs, named<std::int64_t>("labels", {3}, {0, 1, 2})}).text,
             ContainsSubstring("got shape [3], limit [2]"));
  CHECK_THAT(tensors_problem({inputs, named<std::int64_t>("labels", {2}, {0, -1})}).text,
             ContainsSubstring("got -1"));
  CHECK_THAT(tensors_problem({inputs, named<float>("labels", {2}, {0, 1})}).text,
             ContainsSubstring("got f32"));
}

TEST_CASE("clusters that no memory holds are refused with their size", "[unit]") {
  configuration config;
  config.data.name = "gaussian";
  config.data.gaussian_rows = 2'147'483'647;
  config.data.gaussian_width = 1 << 20;
  CHECK_THAT(open_data(config).error().text,
             ContainsSubstring("--gaussian-rows: got 2147483647 rows of 1048576 numbers, ")
               && ContainsSubstring("the memory that this process may use"));
}

TEST_CASE("an unknown data set is refused with the names there are", "[unit]") {
  configuration config;
  config.data.name = "mnist";
  CHECK_THAT(open_data(config).error().text,
             ContainsSubstring("'mnist', limit fashion-mnist | gaussian | tensors"));
}
