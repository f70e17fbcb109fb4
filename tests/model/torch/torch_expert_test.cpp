#include "model/torch/torch_expert.hpp"

#include "model/run_failure.hpp"
#include "tests/model/experts/expert_fixture.hpp"

#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <functional>

using namespace troupe;
using namespace troupe::testing;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::MessageMatches;

namespace {

using computation = std::function<at::Tensor(const at::Tensor&)>;

/// One matrix [out, in], and whatever a test computes with it.
class linear_expert : public torch_expert {
public:
  linear_expert(std::int64_t out_width, computation how = {})
    : torch_expert({}, widths(out_width), {0, 3, 0}), how_(std::move(how)) {
    declare("w", {out(), in()}, in());
  }

  at::Tensor compute(const at::Tensor& x) const override { return how_ ? how_(x) : at::linear(x, get("w")); }

  at::Tensor other(const std::string& name) const { return get(name); }

private:
  static model_shape widths(std::int64_t out_width) {
    model_shape result;
    result.input_width = 3;
    result.output_width = out_width;
    return result;
  }

  computation how_;
};

void forward(linear_expert& expert) {
  const auto indices = index_tensor({0, 1});
  expert.forward(selection_of(normal_tensor<float>({2, 3}, 1), indices), true);
}

} // namespace

TEST_CASE("parameters of an expert from outside go in by name, shape, type and number", "[unit]") {
  linear_expert expert(2);
  const named_tensor good{"w", normal_tensor<float>({2, 3}, 7)};
  const auto refusal = [&](const std::vector<named_tensor>& values) {
    const auto set = expert.set_parameters(values);
    REQUIRE_FALSE(set);
    CHECK(set.error().code == error_code::malformed);
    return set.error().text;
  };
  REQUIRE(expert.set_parameters(std::vector{good}));
  CHECK_THAT(refusal({{"w", normal_tensor<float>({3, 2}, 8)}}), // as many bytes
             ContainsSubstring("parameter w: got f32 [3, 2], expected f32 [2, 3]"));
  CHECK_THAT(refusal({{"w", normal_tensor<double>({2, 3}, 8)}}), ContainsSubstring("got f64 [2, 3]"));
  CHECK_THAT(refusal({{"w", {}}}), ContainsSubstring("got none"));
  CHECK_THAT(refusal({{"v", good.value}}), ContainsSubstring("parameter w: missing"));
  CHECK_THAT(refusal({good, {"v", good.value}}), ContainsSubstring("parameters: got 2, expected 1"));
  const auto kept = expert.parameters();
  REQUIRE(kept.size() == 1);
  CHECK(std::ranges::equal(kept[0].value.as<float>(), good.value.as<float>()));
}

TEST_CASE("what an expert from outside throws or gets wrong is a failure of one line", "[unit]") {
  linear_expert wide(2, [](const at::Tensor& x) { return at::zeros({x.size(0), 5}); });
  CHECK_THROWS_MATCHES(forward(wide), run_failure,
                       Message("[expert 3] result of compute: got Float [2, 5], limit Float [2, 2]"));
  linear_expert nothing(2, [](const at::Tensor&) { return at::Tensor(); });
  CHECK_THROWS_MATCHES(forward(nothing), run_failure, MessageMatches(ContainsSubstring("got no tensor")));
  linear_expert mismatch(2, [](const at::Tensor& x) { return at::linear(x, at::zeros({2, 4})); });
  CHECK_THROWS_MATCHES(forward(mismatch), run_failure,
                       MessageMatches(ContainsSubstring("[expert 3] LibTorch: ")
                                      && ContainsSubstring("shapes cannot be multiplied")
                                      && !ContainsSubstring("\n") && !ContainsSubstring("frame #0")));
  CHECK_THROWS_MATCHES(linear_expert(2).other("v"), run_failure,
                       MessageMatches(ContainsSubstring("parameter: got 'v'")));
}
