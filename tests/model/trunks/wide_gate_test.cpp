#include "model/trunks/gate_kernels.hpp"
#include "model/trunks/wide_gate.hpp"
#include "tests/model/experts/expert_fixture.hpp"
#include "tests/model/trunks/pixel_fixture.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace troupe;
using namespace troupe::testing;

namespace {

/// The plain loops of double precision.
struct textbook {
  std::vector<double> z, dw;

  textbook(const tensor& x, const tensor& w, const tensor& g, std::int64_t experts)
    : z(static_cast<std::size_t>(x.rows() * experts)),
      dw(static_cast<std::size_t>(experts * x.row_elements()), 0.5) {
    const std::vector<double> wide_w(w.as<float>().begin(), w.as<float>().end());
    const std::vector<double> wide_g(g.as<float>().begin(), g.as<float>().end());
    gate_logits<double>(x, wide_w.data(), experts, z.data());
    add_gate_weight_gradient<double>(x, wide_g.data(), experts, dw.data());
  }
};

} // namespace

TEST_CASE("gate products of many experts are those of double precision", "[unit]") {
  for (const std::int64_t width : {1, 15, 64, 65, 784})
    for (const std::int64_t experts : {15, 16, 17, 64, 100, 256})
      for (const std::int64_t rows : {1, 19, 200})
        for (const bool bytes : {true, false}) {
          INFO(experts << " experts, width " << width << ", " << rows
                       << (bytes ? " rows of bytes" : " rows"));
          const auto x = bytes ? pixels(rows, width) : normal_tensor<float>({rows, width}, 1);
          const auto w = normal_tensor<float>({experts, width}, 2);
          const auto g = normal_tensor<float>({rows, experts}, 3);
          std::vector<float> z(static_cast<std::size_t>(rows * experts));
          std::vector<float> dw(static_cast<std::size_t>(experts * width), 0.5f);
          gate_product<float>(x, w.as<float>().data(), experts, z.data());
          add_gate_gradient<float>(x, g.as<float>().data(), experts, dw.data());
          const textbook want(x, w, g, experts);
          double logits = 0, gradients = 0;
          for (std::size_t i = 0; i < z.size(); ++i) logits = std::max(logits, std::abs(z[i] - want.z[i]));
          for (std::size_t i = 0; i < dw.size(); ++i)
            gradients = std::max(gradients, std::abs(dw[i] - want.dw[i]));
          CHECK(logits < 1e-5 * std::sqrt(static_cast<double>(width)));
          CHECK(gradients < 4e-6 * std::sqrt(static_cast<double>(rows)));
        }
}

TEST_CASE("a row's logits among many experts do not depend on the rows beside it", "[unit]") {
  const auto x = normal_tensor<float>({200, 70}, 1);
  const auto w = normal_tensor<float>({40, 70}, 2);
  std::vector<float> all(200 * 40), one(40);
  gate_product<float>(x, w.as<float>().data(), 40, all.data());
  for (const std::size_t row : {0, 95, 96, 150, 199}) {
    gate_product<float>(tensor::of<float>({1, 70}, x.as<float>().subspan(row * 70, 70)), w.as<float>().data(),
                        40, one.data());
    CHECK(std::equal(one.begin(), one.end(), all.begin() + static_cast<std::ptrdiff_t>(row * 40)));
  }
}

TEST_CASE("a gate's products have the same bits however they are shared", "[unit]") {
  std::size_t most = 0;
  const parallel_for backwards = [&](std::size_t parts, const std::function<void(std::size_t)>& f) {
    most = std::max(most, parts);
    for (std::size_t i = parts; i-- > 0;) f(i);
  };
  for (const std::int64_t width : {100, 784})
    for (const std::int64_t experts : {15, 16, 100})
      for (const bool bytes : {true, false}) {
        const std::int64_t rows = 1000;
        const auto x = bytes ? pixels(rows, width) : normal_tensor<float>({rows, width}, 1);
        const auto w = normal_tensor<float>({experts, width}, 2);
        const auto g = normal_tensor<float>({rows, experts}, 3);
        std::vector<float> z[2], dw[2];
        for (const int shared : {0, 1}) {
          const parallel_for share = shared ? backwards : parallel_for(alone);
          z[shared].resize(static_cast<std::size_t>(rows * experts));
          dw[shared].resize(static_cast<std::size_t>(experts * width));
          gate_product<float>(x, w.as<float>().data(), experts, z[shared].data(), share);
          add_gate_gradient<float>(x, g.as<float>().data(), experts, dw[shared].data(), share);
        }
        INFO(experts << " experts, width " << width << (bytes ? ", bytes" : ""));
        CHECK(z[0] == z[1]);
        CHECK(dw[0] == dw[1]);
      }
  CHECK(most > 2);
}
