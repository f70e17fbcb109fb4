#include "model/optimizers/flat_optimizer.hpp"
#include "model/random.hpp"

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <limits>
#include <vector>

using namespace troupe;

namespace {

optimizer_options named(const std::string& name, double momentum = 0) {
  optimizer_options o;
  o.name = name;
  o.momentum = momentum;
  return o;
}

template <class Real>
std::vector<Real> normal(std::size_t count, std::uint64_t seed) {
  std::vector<Real> result(count);
  philox_stream(seed, "optimizer test").fill_normal<Real>(result);
  return result;
}

} // namespace

TEMPLATE_TEST_CASE("the scale multiplies the gradient and nothing else", "[unit]", float, double) {
  using Real = TestType;
  const auto options = named(GENERATE("sgd", "adam", "adamw"));
  flat_optimizer<Real> scaled(options, 37), plain(options, 37);
  auto a = normal<Real>(37, 1), b = a;
  for (std::uint64_t i = 0; i < 4; ++i) {
    auto g = normal<Real>(37, 10 + i);
    scaled.step(a, g, {0.01, 0.25, i});
    for (auto& v : g) v *= Real{0.25}; // exact
    plain.step(b, g, {0.01, 1, i});
  }
  CHECK(a == b);
}

TEMPLATE_TEST_CASE("a zero gradient leaves plain SGD's parameters as they are", "[unit]", float, double) {
  using Real = TestType;
  flat_optimizer<Real> sgd(named("sgd"), 20);
  auto p = normal<Real>(20, 1);
  const auto before = p;
  sgd.step(p, std::vector<Real>(20), {0.1, 1, 0});
  CHECK(p == before);
}

TEMPLATE_TEST_CASE("saved moments go on as if never saved, and other lengths are refused", "[unit]", float,
                   double) {
  using Real = TestType;
  const auto options = GENERATE(named("sgd"), named("sgd", 0.9), named("adam"), named("adamw"));
  flat_optimizer<Real> first(options, 33), second(options, 33);
  auto a = normal<Real>(33, 1);
  for (std::uint64_t i = 0; i < 3; ++i) first.step(a, normal<Real>(33, 10 + i), {0.01, 1, i});
  auto b = a;
  std::vector<std::byte> state(first.saved_bytes());
  first.save(state);
  REQUIRE(second.load(state));
  for (std::uint64_t i = 3; i < 6; ++i) {
    first.step(a, normal<Real>(33, 10 + i), {0.01, 1, i});
    second.step(b, normal<Real>(33, 10 + i), {0.01, 1, i});
  }
  CHECK(a == b);
  state.resize(state.size() + 4);
  CHECK_FALSE(second.load(state));
  second.reset();
  flat_optimizer<Real> fresh(options, 33);
  std::vector<std::byte> reset_state(second.saved_bytes()), fresh_state(fresh.saved_bytes());
  second.save(reset_state);
  fresh.save(fresh_state);
  CHECK(reset_state == fresh_state);
}

TEST_CASE("moments below the normal range become 0 instead of slow", "[unit]") {
  flat_optimizer<float> adam(named("adam"), 16);
  std::vector<float> p(16, 1.f), g(16, 1e-30f);
  adam.step(p, g, {1e-3, 1, 0});
  std::fill(g.begin(), g.end(), 0.f);
  for (std::uint64_t i = 1; i < 400; ++i) adam.step(p, g, {1e-3, 1, i}); // 0.9^400 · 1e-31 is subnormal
  std::vector<std::byte> state(adam.saved_bytes());
  adam.save(state);
  for (auto byte : state) CHECK(byte == std::byte{0});
  volatile float subnormal = std::numeric_limits<float>::min();
  subnormal = subnormal / 2;
  CHECK(subnormal > 0); // the thread's own setting is back
}
