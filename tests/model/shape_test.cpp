#include "model/data/data_sets.hpp"
#include "model/data/table_source.hpp"
#include "model/extensions.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <stdexcept>

using namespace troupe;
using Catch::Matchers::ContainsSubstring;

namespace {

/// Four rows of three numbers or pixels, with or without labels.
table_source rows(dtype type, bool labelled) {
  data_table table{tensor::zeros(type, {4, 3}), labelled ? tensor::zeros(dtype::u8, {4}) : tensor()};
  return {table, table, labelled ? 5 : 0, row_order::file, 0};
}

configuration with_task(const std::string& task) {
  configuration config;
  config.model.task = task;
  return config;
}

/// A data set from outside that has as many rows as it is told, and must not be read.
class counted_rows : public data_source {
public:
  counted_rows(std::uint64_t train, std::uint64_t test) : train_(train), test_(test) {
    // nop
  }

  std::uint64_t rows(step_kind kind) const override { return kind == step_kind::train ? train_ : test_; }
  std::int64_t input_width() const override { return 3; }
  std::int64_t classes() const override { return 5; }

  samples read(step_kind, std::uint64_t, std::uint64_t, std::uint64_t) const override {
    throw std::logic_error("these rows are not to be read");
  }

private:
  std::uint64_t train_;
  std::uint64_t test_;
};

/// A factory whose data set must not be opened.
const model_factory without_data = {[](const configuration&) -> expected<std::shared_ptr<const data_source>> {
                                      return fail(error_code::not_found, "no data here");
                                    },
                                    {},
                                    {},
                                    {},
                                    {}};

} // namespace

TEST_CASE("a classifier's outputs are the classes, another task's the inputs", "[unit]") {
  const auto classify = shape_of(with_task("classify"), rows(dtype::u8, true)).value();
  CHECK(classify.input_width == 3);
  CHECK(classify.output_width == 5);
  CHECK(classify.byte_inputs);
  CHECK(classify.input_rows == 0);
  const auto squares = shape_of(with_task("mean_square"), rows(dtype::f64, false)).value();
  CHECK(squares.output_width == 3);
  CHECK_FALSE(squares.byte_inputs);
}

TEST_CASE("inputs that learn are counted and travel as numbers", "[unit]") {
  auto config = with_task("mean_square");
  config.model.learn_inputs = true;
  const auto shape = shape_of(config, rows(dtype::u8, true)).value();
  CHECK(shape.input_rows == 4);
  CHECK_FALSE(shape.byte_inputs);
}

TEST_CASE("classifying rows without labels is refused", "[unit]") {
  const auto shape = shape_of(with_task("classify"), rows(dtype::f32, false));
  REQUIRE_FALSE(shape.has_value());
  CHECK(shape.error().code == error_code::usage);
  CHECK_THAT(shape.error().text, ContainsSubstring("without labels"));
}

TEST_CASE("a data set without rows to train on or to evaluate is refused", "[unit]") {
  const auto refusal = [](std::uint64_t train, std::uint64_t test) {
    const auto shape = shape_of(with_task("classify"), counted_rows(train, test));
    REQUIRE_FALSE(shape.has_value());
    CHECK(shape.error().code == error_code::usage);
    return shape.error().text;
  };
  CHECK_THAT(refusal(0, 4), ContainsSubstring("with 0 rows to train on, limit at least 1"));
  CHECK_THAT(refusal(4, 0), ContainsSubstring("with 0 rows to evaluate, limit at least 1"));
}

TEST_CASE("known data sets have their shape without being opened", "[unit]") {
  for (const auto* name : {"fashion-mnist", "gaussian"}) {
    configuration config;
    config.data.name = name;
    const auto data = open_data(config);
    REQUIRE(data.has_value());
    for (bool learns : {false, true}) {
      config.model.learn_inputs = learns;
      const auto opened = shape_of(config, **data).value();
      const auto guessed = shape_without_files(config, without_data).value();
      CHECK(guessed.input_width == opened.input_width);
      CHECK(guessed.output_width == opened.output_width);
      CHECK(guessed.input_rows == opened.input_rows);
      CHECK(guessed.byte_inputs == opened.byte_inputs);
    }
  }
  configuration other;
  other.data.name = "tensors";
  CHECK(shape_without_files(other, without_data).error().text == "no data here");
}
