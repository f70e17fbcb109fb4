#pragma once

#include <bit>
#include <concepts>
#include <cstdint>

namespace troupe::simulation {

using word = std::uint64_t;

/// Scrambles 64 bits (the finaliser of SplitMix64: Steele, Lea, Flood, 2014).
constexpr word scramble(word x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// A hash of several numbers, in their order.
constexpr word mix(word first, std::same_as<word> auto... rest) noexcept {
  word h = scramble(first + 0x9e3779b97f4a7c15u);
  ((h = scramble((h ^ rest) + 0x9e3779b97f4a7c15u)), ...);
  return h;
}

inline word bits_of(double x) noexcept {
  return std::bit_cast<word>(x);
}

/// Every draw of a run comes from such a sequence, and all of them from the run's one seed.
class dice {
public:
  explicit dice(word seed) : state_(seed) {
    // nop
  }

  word next() noexcept { return scramble(state_ += 0x9e3779b97f4a7c15u); }

  /// Uniform in [0, bound).
  word below(word bound) noexcept { return bound == 0 ? 0 : next() % bound; }

  /// Uniform in [first, last].
  word between(word first, word last) noexcept { return first + below(last - first + 1); }

  /// Uniform in [0, 1).
  double fraction() noexcept { return static_cast<double>(next() >> 11) * 0x1p-53; }

  bool chance(double probability) noexcept { return fraction() < probability; }

private:
  word state_;
};

} // namespace troupe::simulation
