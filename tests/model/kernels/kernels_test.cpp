#include "model/kernels/aligned_buffer.hpp"
#include "model/kernels/kernels.hpp"
#include "model/kernels/panels.hpp"
#include "model/random.hpp"

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

using namespace troupe;

namespace {

template <class Real>
aligned_buffer<Real> numbers(std::size_t count, const char* purpose) {
  aligned_buffer<Real> result(count);
  philox_stream(11, purpose).fill_normal(result.span());
  return result;
}

template <class Real>
bool same_bits(std::span<const Real> a, std::span<const Real> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

template <class Real>
double units_apart(Real got, double expected) {
  const auto nearest = static_cast<Real>(expected);
  const auto unit = std::nextafter(std::abs(nearest), std::numeric_limits<Real>::infinity())
                    - std::abs(nearest);
  return std::abs(static_cast<double>(got) - expected) / static_cast<double>(unit);
}

} // namespace

TEMPLATE_TEST_CASE("a product is one chain of fused multiply-adds per element, on every instruction set",
                   "[unit]", float, double) {
  using Real = TestType;
  struct sizes {
    std::ptrdiff_t m, k, n;
  };
  for (const auto& s :
       {sizes{0, 5, 16}, sizes{1, 1, 1}, sizes{1, 784, 64}, sizes{2, 50, 50}, sizes{3, 7, 10},
        sizes{5, 300, 65}, sizes{7, 129, 130}, sizes{13, 64, 100}, sizes{64, 10, 200}, sizes{67, 257, 33}}) {
    const panels<Real> where{s.k, s.n};
    const auto width = where.n_padded();
    const auto stride = s.k + 3;
    const auto a = numbers<Real>(static_cast<std::size_t>((s.m + 1) * stride), "a");
    const auto row_major = numbers<Real>(static_cast<std::size_t>(s.k * s.n), "b"); // [n, k]
    const auto start = numbers<Real>(static_cast<std::size_t>((s.m + 1) * width), "c");
    aligned_buffer<Real> b(where.size());
    where.pack(row_major.data(), b.data());
    for (const auto* k : runnable_kernels<Real>())
      for (const bool accumulate : {false, true}) {
        aligned_buffer<Real> c = numbers<Real>(start.size(), "c");
        k->multiply({a.data(), stride}, b.data(), {c.data(), width}, s.m, s.k, width, accumulate);
        INFO(k->name << " " << s.m << " " << s.k << " " << s.n);
        bool equal = true;
        for (std::ptrdiff_t i = 0; i < s.m; ++i)
          for (std::ptrdiff_t j = 0; j < s.n; ++j) {
            Real sum = accumulate ? start.data()[i * width + j] : Real{0};
            for (std::ptrdiff_t t = 0; t < s.k; ++t)
              sum = std::fma(a.data()[i * stride + t], row_major.data()[j * s.k + t], sum);
            equal = equal && sum == c.data()[i * width + j];
          }
        CHECK(equal);
        CHECK(same_bits<Real>(c.span().subspan(static_cast<std::size_t>(s.m * width)),
                              start.span().subspan(static_cast<std::size_t>(s.m * width))));
      }
  }
}

TEMPLATE_TEST_CASE("a transposed product adds the rows in order, however they are cut", "[unit]", float,
                   double) {
  using Real = TestType;
  struct sizes {
    std::ptrdiff_t m, k, n;
  };
  for (const auto& s :
       {sizes{1, 784, 64}, sizes{2, 50, 50}, sizes{3, 7, 10}, sizes{150, 13, 65}, sizes{300, 100, 20}}) {
    const panels<Real> where{s.k, s.n};
    const auto width = where.n_padded();
    const auto a = numbers<Real>(static_cast<std::size_t>(s.m * s.k), "a");
    auto d = numbers<Real>(static_cast<std::size_t>(s.m * width), "d");
    for (const auto* k : runnable_kernels<Real>()) {
      INFO(k->name << " " << s.m << " " << s.k << " " << s.n);
      aligned_buffer<Real> whole(where.size()), cut(where.size());
      k->multiply_transposed({a.data(), s.k}, {d.data(), width}, whole.data(), s.m, s.k, width, false);
      const auto first = s.m / 3;
      k->multiply_transposed({a.data(), s.k}, {d.data(), width}, cut.data(), first, s.k, width, false);
      k->multiply_transposed({a.data() + first * s.k, s.k}, {d.data() + first * width, width}, cut.data(),
                             s.m - first, s.k, width, true);
      CHECK(same_bits<Real>(whole.span(), cut.span()));
      bool equal = true;
      where.for_each([&](auto row, auto column, auto at) {
        Real sum = 0;
        for (std::ptrdiff_t i = 0; i < s.m; ++i)
          sum = std::fma(a.data()[i * s.k + row], d.data()[i * width + column], sum);
        equal = equal && sum == whole.data()[at];
      });
      CHECK(equal);
    }
  }
}

TEMPLATE_TEST_CASE("a pixel is its value over 255, correctly rounded, less the mean", "[unit]", float,
                   double) {
  using Real = TestType;
  std::vector<std::uint8_t> in(256);
  for (std::size_t i = 0; i < 256; ++i) in[i] = static_cast<std::uint8_t>(i);
  for (const auto* k : runnable_kernels<Real>()) {
    aligned_buffer<Real> out(256);
    k->pixels(in.data(), out.data(), 256);
    for (std::size_t i = 0; i < 256; ++i)
      CHECK(out.data()[i] == static_cast<Real>(i) / Real{255} - Real(0.286));
  }
}

TEMPLATE_TEST_CASE("activations agree with the mathematical library in double or wider", "[unit]", float,
                   double) {
  using Real = TestType;
  constexpr std::size_t count = 4096;
  constexpr bool single = sizeof(Real) == 4;
  aligned_buffer<Real> x(count), h(count), ones(count);
  for (std::size_t i = 0; i < count; ++i) {
    x.data()[i] = static_cast<Real>(40.0 * (static_cast<double>(i) / count - 0.5));
    ones.data()[i] = 1;
  }
  const auto sigmoid = [](long double v) { return 1 / (1 + std::exp(-v)); };
  const auto phi = [](long double v) { return 0.5L * std::erfc(-v / std::sqrt(2.0L)); };
  const auto density = [](long double v) { return std::exp(-v * v / 2) * 0.398942280401432677939946L; };
  // For the derivatives, whose terms cancel: relative to the terms, not to their difference. Exponentials end
  // at 1e-38.
  const double bound = single ? 1e-6 : 4e-15;
  const auto near = [&](Real got, long double expected, long double terms) {
    return std::abs(static_cast<double>(got) - static_cast<double>(expected))
           <= bound * static_cast<double>(terms) + 1e-36;
  };
  for (const auto* k : runnable_kernels<Real>()) {
    INFO(k->name);
    const auto n = static_cast<std::ptrdiff_t>(count);
    const auto all = [&](auto&& good) {
      for (std::size_t i = 0; i < count; ++i)
        if (!good(static_cast<long double>(x.data()[i]), h.data()[i])) return false;
      return true;
    };
    const auto derivative = [&](auto kernel) {
      std::copy_n(ones.data(), count, h.data());
      kernel(x.data(), h.data(), n);
    };
    k->relu(x.data(), h.data(), n);
    CHECK(all([](auto v, Real got) { return got == (v > 0 ? static_cast<Real>(v) : Real{0}); }));
    k->silu(x.data(), h.data(), n);
    CHECK(all([&](auto v, Real got) { return near(got, v * sigmoid(v), std::abs(v * sigmoid(v))); }));
    k->gelu(x.data(), h.data(), n);
    // The argument of erfc is rounded, which its tail amplifies: |v| units.
    CHECK(all([&](auto v, Real got) { return near(got, v * phi(v), (1 + v * v) * std::abs(v * phi(v))); }));
    derivative(k->relu_backward);
    CHECK(all([](auto v, Real got) { return got == (v > 0 ? Real{1} : Real{0}); }));
    derivative(k->silu_backward);
    CHECK(all([&](auto v, Real got) {
      const auto s = sigmoid(v);
      return near(got, s * (1 + v * (1 - s)), s * (1 + std::abs(v)));
    }));
    derivative(k->gelu_backward);
    CHECK(all([&](auto v, Real got) {
      return near(got, phi(v) + v * density(v), (1 + v * v) * (phi(v) + std::abs(v * density(v))));
    }));
  }
}

TEMPLATE_TEST_CASE("swiglu and its gradients are those of silu times up", "[unit]", float, double) {
  using Real = TestType;
  constexpr std::size_t count = 256;
  constexpr double bound = sizeof(Real) == 4 ? 1e-6 : 4e-15;
  const auto gate = numbers<Real>(count, "gate"), up = numbers<Real>(count, "up"),
             d = numbers<Real>(count, "d");
  for (const auto* k : runnable_kernels<Real>()) {
    aligned_buffer<Real> h(count), d_up = numbers<Real>(count, "d"), d_gate(count);
    k->swiglu(gate.data(), up.data(), h.data(), count);
    k->swiglu_backward(gate.data(), up.data(), d_up.data(), d_gate.data(), count);
    for (std::size_t i = 0; i < count; ++i) {
      const long double g = gate.data()[i], u = up.data()[i], o = d.data()[i], s = 1 / (1 + std::exp(-g));
      const auto near = [&](Real got, long double expected, long double terms) {
        return std::abs(static_cast<double>(got - expected)) <= bound * static_cast<double>(terms);
      };
      CHECK(near(h.data()[i], g * s * u, std::abs(g * s * u)));
      CHECK(near(d_up.data()[i], o * g * s, std::abs(o * g * s)));
      CHECK(near(d_gate.data()[i], o * u * s * (1 + g * (1 - s)), std::abs(o * u * s) * (1 + std::abs(g))));
    }
  }
}

TEMPLATE_TEST_CASE("element kernels give the same bits on every instruction set", "[unit]", float, double) {
  using Real = TestType;
  constexpr std::ptrdiff_t rows = 5, width = 112, count = rows * width;
  const auto x = numbers<Real>(count, "x"), y = numbers<Real>(count, "y");
  const auto results = [&](const kernels<Real>& k) {
    std::vector<Real> all;
    const auto keep = [&](const aligned_buffer<Real>& b) {
      all.insert(all.end(), b.span().begin(), b.span().end());
    };
    for (auto* f : {k.relu, k.silu, k.gelu}) {
      aligned_buffer<Real> h(count);
      f(x.data(), h.data(), count);
      keep(h);
    }
    for (auto* f : {k.relu_backward, k.silu_backward, k.gelu_backward}) {
      auto d = numbers<Real>(count, "y");
      f(x.data(), d.data(), count);
      keep(d);
    }
    auto sum = numbers<Real>(count, "x");
    k.add(sum.data(), y.data(), count);
    k.add_bias(sum.data(), y.data(), rows, width);
    k.add_rows(sum.data(), sum.data(), 0, width);
    keep(sum);
    aligned_buffer<Real> columns(width);
    k.add_rows(x.data(), columns.data(), rows, width);
    keep(columns);
    auto p = numbers<Real>(count, "p");
    aligned_buffer<Real> m(count), v(count), moment(count);
    for (int step = 0; step < 3; ++step) {
      k.adam(p.data(), x.data(), m.data(), v.data(), count,
             {Real(0.7), Real(0.01), Real(0.99), Real(0.9), Real(0.1), Real(0.999), Real(0.001), Real(0.01),
              Real(3), Real(1e-8)});
      k.sgd(p.data(), y.data(), moment.data(), count, {Real(0.7), Real(0.01), Real(0.9), Real(0.05)});
    }
    keep(p);
    all.push_back(static_cast<Real>(k.squared_norm(x.data(), count)));
    return all;
  };
  const auto expected = results(*runnable_kernels<Real>().front());
  for (const auto* k : runnable_kernels<Real>()) {
    INFO(k->name);
    CHECK(same_bits<Real>(results(*k), expected));
  }
}

TEST_CASE("a squared norm is summed in double", "[unit]") {
  const auto x = numbers<float>(1001, "x");
  long double expected = 0;
  for (float v : x.span()) expected += static_cast<long double>(v) * v;
  for (const auto* k : runnable_kernels<float>())
    CHECK(units_apart(k->squared_norm(x.data(), 1001), static_cast<double>(expected)) < 16);
}
