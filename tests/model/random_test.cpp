#include "model/parameters/init.hpp"
#include "model/random.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <cmath>
#include <numbers>
#include <numeric>
#include <set>
#include <vector>

using namespace troupe;
using Catch::Matchers::WithinAbs;

using block = std::array<std::uint32_t, 4>;

TEST_CASE("Philox gives the published known answers", "[unit]") {
  // Random123, kat_vectors: philox4x32 10
  CHECK(philox_block({0, 0, 0, 0}, {0, 0}) == block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox_block({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff})
        == block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox_block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0})
        == block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("every part of a stream's identity changes its numbers", "[unit]") {
  std::set<std::uint64_t> seen;
  for (const auto& stream :
       {philox_stream(1, "a"), philox_stream(2, "a"), philox_stream(1, "b"), philox_stream(1, "a", 1),
        philox_stream(1, "a", 0, 1), philox_stream(1, "a", 0, 0, 1), philox_stream(1, "a", 0, 0, 0, 1)})
    seen.insert(stream.bits(0));
  CHECK(seen.size() == 7);
  CHECK(philox_stream(1, "a", 3, 4, 5, 6).bits(7) == philox_stream(1, "a", 3, 4, 5, 6).bits(7));
}

TEST_CASE("words and 64-bit draws are parts of the same blocks, in order", "[unit]") {
  const philox_stream s(9, "parts");
  for (std::uint64_t i = 0; i < 8; ++i)
    CHECK(s.bits(i) == (std::uint64_t{s.word(2 * i)} | (std::uint64_t{s.word(2 * i + 1)} << 32)));
}

TEST_CASE("numbers filled in are those drawn one by one, from any index on", "[unit]") {
  const philox_stream s(11, "fill");
  for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{7}, ~std::uint64_t{2}}) // the last one
                                                                                            // wraps
    for (const std::size_t count : {0, 1, 2, 5, 1000}) {
      std::vector<double> u(count), z(count);
      std::vector<float> u32(count), z32(count);
      s.fill_uniform<double>(u, first);
      s.fill_uniform<float>(u32, first);
      s.fill_normal<double>(z, first);
      s.fill_normal<float>(z32, first);
      for (std::size_t i = 0; i < count; ++i) {
        const auto index = first + i;
        REQUIRE(u[i] == s.uniform<double>(index));
        REQUIRE(u[i] == static_cast<double>(s.bits(index) >> 11) / 9007199254740992.0);
        REQUIRE((u32[i] == static_cast<float>(u[i]) || (u32[i] < 1 && u[i] > 0.9999999)));
        // Box–Muller as its definition says, each number from its block.
        const auto even = index / 2 * 2;
        const auto radius = std::sqrt(-2 * std::log(s.uniform<double>(even) + 0x1p-53));
        const auto angle = 2 * std::numbers::pi * s.uniform<double>(even + 1);
        REQUIRE(z[i] == radius * (index == even ? std::cos(angle) : std::sin(angle)));
        REQUIRE(z[i] == s.normal(index));
        REQUIRE(z32[i] == static_cast<float>(z[i]));
      }
    }
}

TEST_CASE("uniform numbers have the moments of 0 to 1 and normal ones those of N(0, 1)", "[unit]") {
  constexpr std::size_t n = 200000;
  std::vector<double> u(n), z(n);
  philox_stream(5, "uniform").fill_uniform<double>(u);
  philox_stream(5, "normal").fill_normal<double>(z);
  const auto moment = [](const std::vector<double>& v, int power) {
    return std::accumulate(v.begin(), v.end(), 0.0,
                           [=](double sum, double x) { return sum + std::pow(x, power); })
           / static_cast<double>(v.size());
  };
  for (double x : u) {
    REQUIRE(x >= 0);
    REQUIRE(x < 1);
  }
  // 5 standard errors: 5·sqrt(variance of the power / n)
  CHECK_THAT(moment(u, 1), WithinAbs(0.5, 5 * std::sqrt(1.0 / 12 / n)));
  CHECK_THAT(moment(u, 2), WithinAbs(1.0 / 3, 5 * std::sqrt(4.0 / 45 / n)));
  CHECK_THAT(moment(z, 1), WithinAbs(0, 5 * std::sqrt(1.0 / n)));
  CHECK_THAT(moment(z, 2), WithinAbs(1, 5 * std::sqrt(2.0 / n)));
  CHECK_THAT(moment(z, 4), WithinAbs(3, 5 * std::sqrt(96.0 / n)));
}

TEST_CASE("floats stay below 1, and bounded draws below their bound", "[unit]") {
  const philox_stream s(3, "bounds");
  std::vector<float> u(100000);
  s.fill_uniform<float>(u);
  std::vector<int> counts(7);
  for (std::size_t i = 0; i < u.size(); ++i) {
    REQUIRE((u[i] >= 0 && u[i] < 1));
    REQUIRE(s.uniform<float>(i) < 1);
    const auto drawn = s.below(i, 7);
    REQUIRE(drawn < 7);
    ++counts[drawn];
  }
  for (int c : counts) CHECK(std::abs(c - 100000 / 7.0) < 5 * std::sqrt(100000 / 7.0));
  CHECK(s.below(0, 1) == 0);
}

TEST_CASE("parameters start in ±1/√fan_in, the same numbers in f32 and f64", "[unit]") {
  std::vector<float> single(5000);
  std::vector<double> wide(5000);
  init_uniform<float>(single, 25, 1, 2, 3, "w1");
  init_uniform<double>(wide, 25, 1, 2, 3, "w1");
  const philox_stream drawn(1, "init w1", 2, 0, 0, 3);
  for (std::size_t i = 0; i < wide.size(); ++i)
    REQUIRE(wide[i] == 1 / std::sqrt(25.0) * (2 * drawn.uniform<double>(i) - 1));
  double largest = 0;
  for (std::size_t i = 0; i < wide.size(); ++i) {
    REQUIRE(single[i] == static_cast<float>(wide[i]));
    largest = std::max(largest, std::abs(wide[i]));
  }
  CHECK(largest <= 0.2);
  CHECK(largest > 0.199);
  const auto first = [](std::uint64_t seed, std::uint16_t layer, std::uint16_t expert, const char* name) {
    std::vector<double> v(1);
    init_uniform<double>(v, 25, seed, layer, expert, name);
    return v[0];
  };
  CHECK(first(1, 2, 3, "w1") == wide[0]);
  CHECK(first(2, 2, 3, "w1") != wide[0]);
  CHECK(first(1, 1, 3, "w1") != wide[0]);
  CHECK(first(1, 2, 4, "w1") != wide[0]);
  CHECK(first(1, 2, 3, "w2") != wide[0]);
}
