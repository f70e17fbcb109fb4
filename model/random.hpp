#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace troupe {

/// One block of Philox-4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
/// 2011).
std::array<std::uint32_t, 4> philox_block(std::array<std::uint32_t, 4> counter,
                                          std::array<std::uint32_t, 2> key) noexcept;

/// 64-bit FNV-1a of a purpose or tensor name.
constexpr std::uint64_t name_hash(std::string_view name) noexcept {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (char c : name) {
    h ^= static_cast<unsigned char>(c);
    h *= 0x100000001b3u;
  }
  return h;
}

/// Random numbers as a function of what they are for: no state, random access by index, the same on every
/// machine.
///
/// The identity (seed, purpose, layer, step, microbatch, expert) is mixed into the key and the upper half of
/// the counter; `index` (a global token, an element of a tensor, ...) is the lower half. Indices of different
/// types of draw overlap in the underlying words: use one type of draw per stream.
class philox_stream {
public:
  explicit philox_stream(std::uint64_t seed, std::string_view purpose, std::uint64_t layer = 0,
                         std::uint64_t step = 0, std::uint64_t microbatch = 0,
                         std::uint64_t expert = 0) noexcept;

  /// 32 uniform bits: word index % 4 of block index / 4.
  std::uint32_t word(std::uint64_t index) const noexcept;

  /// 64 uniform bits: half index % 2 of block index / 2.
  std::uint64_t bits(std::uint64_t index) const noexcept;

  /// A whole block: bits(2 · number) and bits(2 · number + 1), at the cost of one of them.
  std::array<std::uint64_t, 2> bit_pair(std::uint64_t number) const noexcept;

  /// Uniform in [0, bound), bound > 0, from 64 bits by multiply and shift: bias below bound / 2^64.
  std::uint64_t below(std::uint64_t index, std::uint64_t bound) const noexcept;

  /// Uniform in [0, 1). double: 53 bits of `bits(index)`; float: 24 bits of `word(index)`.
  template <class Real = double>
  Real uniform(std::uint64_t index) const noexcept;

  /// Standard normal by Box–Muller in double; even and odd index share a block (cosine and sine).
  double normal(std::uint64_t index) const noexcept;

  /// out[i] = uniform<double>(first + i), rounded to Real but never up to 1.
  template <class Real>
  void fill_uniform(std::span<Real> out, std::uint64_t first = 0) const noexcept;

  /// out[i] = normal(first + i), rounded to Real.
  template <class Real>
  void fill_normal(std::span<Real> out, std::uint64_t first = 0) const noexcept;

private:
  std::array<std::uint32_t, 4> block(std::uint64_t number) const noexcept;
  std::array<double, 2> normal_pair(std::uint64_t number) const noexcept;

  std::array<std::uint32_t, 2> key_{};
  std::array<std::uint32_t, 2> upper_{};
};

} // namespace troupe
