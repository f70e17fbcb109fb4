#include "model/kernels/panels.hpp"

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <numeric>
#include <vector>

using namespace troupe;

TEMPLATE_TEST_CASE("panels hold every element once, come back, and transpose", "[unit]", float, double) {
  using Real = TestType;
  for (const auto& of : {panels<Real>{1, 1}, panels<Real>{1, 50}, panels<Real>{7, 10}, panels<Real>{784, 64},
                         panels<Real>{65, 130}, panels<Real>{3, 200}}) {
    std::vector<Real> matrix(static_cast<std::size_t>(of.k * of.n)); // [n, k]
    std::iota(matrix.begin(), matrix.end(), Real{1});
    aligned_buffer<Real> packed(of.size());
    of.pack(matrix.data(), packed.data());
    std::vector<Real> back(matrix.size());
    of.unpack(packed.data(), back.data());
    CHECK(back == matrix);
    CHECK(std::count(packed.span().begin(), packed.span().end(), Real{0})
          == static_cast<std::ptrdiff_t>(of.size() - matrix.size()));

    const panels<Real> transposed{of.n, of.k};
    aligned_buffer<Real> other(transposed.size());
    transpose_panels(of, packed.data(), other.data());
    transposed.unpack(other.data(), back.data()); // [k, n]
    bool equal = true;
    for (std::ptrdiff_t i = 0; i < of.k; ++i)
      for (std::ptrdiff_t j = 0; j < of.n; ++j) equal = equal && back[i * of.n + j] == matrix[j * of.k + i];
    CHECK(equal);

    for (auto& v : packed.span())
      if (v == 0) v = Real{7777777};
    of.clear_padding(packed.data());
    CHECK(std::count(packed.span().begin(), packed.span().end(), Real{7777777}) == 0);
    of.unpack(packed.data(), back.data());
    CHECK(back == matrix);
  }
}
