#include "model/random.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace troupe {

namespace {

constexpr std::uint32_t low(std::uint64_t v) noexcept {
  return static_cast<std::uint32_t>(v);
}

constexpr std::uint32_t high(std::uint64_t v) noexcept {
  return static_cast<std::uint32_t>(v >> 32);
}

constexpr std::uint64_t join(std::uint32_t lower, std::uint32_t upper) noexcept {
  return std::uint64_t{lower} | (std::uint64_t{upper} << 32);
}

/// 53 bits to [0, 1), exactly.
double to_unit(std::uint64_t bits) noexcept {
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

/// out[i] = number first + i, where pair(n) gives numbers 2n and 2n + 1.
template <class Real, class Pair>
void fill_by_pairs(std::span<Real> out, std::uint64_t first, Pair pair) noexcept {
  std::size_t i = 0;
  if (first % 2 == 1 && !out.empty()) out[i++] = pair(first / 2)[1];
  for (; i < out.size(); i += 2) {
    const std::array<Real, 2> both = pair((first + i) / 2);
    out[i] = both[0];
    if (i + 1 < out.size()) out[i + 1] = both[1];
  }
}

} // namespace

std::array<std::uint32_t, 4> philox_block(std::array<std::uint32_t, 4> counter,
                                          std::array<std::uint32_t, 2> key) noexcept {
  constexpr std::uint32_t weyl0 = 0x9E3779B9, weyl1 = 0xBB67AE85;
  constexpr std::uint64_t multiplier0 = 0xD2511F53, multiplier1 = 0xCD9E8D57;
  for (int round = 0; round < 10; ++round) {
    const auto a = multiplier0 * counter[0];
    const auto b = multiplier1 * counter[2];
    counter = {high(b) ^ counter[1] ^ key[0], low(b), high(a) ^ counter[3] ^ key[1], low(a)};
    key[0] += weyl0;
    key[1] += weyl1;
  }
  return counter;
}

philox_stream::philox_stream(std::uint64_t seed, std::string_view purpose, std::uint64_t layer,
                             std::uint64_t step, std::uint64_t microbatch, std::uint64_t expert) noexcept {
  // A chain of blocks keyed by the seed absorbs the identity, 64 bits at a time.
  std::array<std::uint32_t, 4> state{};
  const std::array<std::uint32_t, 2> seed_key{low(seed), high(seed)};
  for (auto part : {name_hash(purpose), layer, step, microbatch, expert}) {
    state[0] ^= low(part);
    state[1] ^= high(part);
    state = philox_block(state, seed_key);
  }
  key_ = {state[0], state[1]};
  upper_ = {state[2], state[3]};
}

std::array<std::uint32_t, 4> philox_stream::block(std::uint64_t number) const noexcept {
  return philox_block({low(number), high(number), upper_[0], upper_[1]}, key_);
}

std::uint32_t philox_stream::word(std::uint64_t index) const noexcept {
  return block(index / 4)[index % 4];
}

std::uint64_t philox_stream::bits(std::uint64_t index) const noexcept {
  return bit_pair(index / 2)[index % 2];
}

std::array<std::uint64_t, 2> philox_stream::bit_pair(std::uint64_t number) const noexcept {
  const auto b = block(number);
  return {join(b[0], b[1]), join(b[2], b[3])};
}

std::uint64_t philox_stream::below(std::uint64_t index, std::uint64_t bound) const noexcept {
  __extension__ using wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<wide>(bits(index)) * bound) >> 64);
}

template <>
double philox_stream::uniform<double>(std::uint64_t index) const noexcept {
  return to_unit(bits(index));
}

template <>
float philox_stream::uniform<float>(std::uint64_t index) const noexcept {
  return static_cast<float>(word(index) >> 8) * 0x1p-24f;
}

std::array<double, 2> philox_stream::normal_pair(std::uint64_t number) const noexcept {
  const auto [first, second] = bit_pair(number);
  const auto u1 = to_unit(first) + 0x1p-53; // (0, 1]
  const auto radius = std::sqrt(-2 * std::log(u1));
  const auto angle = 2 * std::numbers::pi * to_unit(second);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

double philox_stream::normal(std::uint64_t index) const noexcept {
  return normal_pair(index / 2)[index % 2];
}

template <class Real>
void philox_stream::fill_uniform(std::span<Real> out, std::uint64_t first) const noexcept {
  const Real below_one = std::nextafter(Real{1}, Real{0});
  const auto number = [below_one](std::uint64_t bits) {
    return std::min(static_cast<Real>(to_unit(bits)), below_one);
  };
  fill_by_pairs(out, first, [&](std::uint64_t n) {
    const auto [even, odd] = bit_pair(n);
    return std::array{number(even), number(odd)};
  });
}

template <class Real>
void philox_stream::fill_normal(std::span<Real> out, std::uint64_t first) const noexcept {
  fill_by_pairs(out, first, [&](std::uint64_t n) {
    const auto [even, odd] = normal_pair(n);
    return std::array{static_cast<Real>(even), static_cast<Real>(odd)};
  });
}

template void philox_stream::fill_uniform(std::span<float>, std::uint64_t) const noexcept;
template void philox_stream::fill_uniform(std::span<double>, std::uint64_t) const noexcept;
template void philox_stream::fill_normal(std::span<float>, std::uint64_t) const noexcept;
template void philox_stream::fill_normal(std::span<double>, std::uint64_t) const noexcept;

} // namespace troupe
