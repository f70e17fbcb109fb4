#pragma once

#include "model/kernels/aligned_buffer.hpp"

#include <cstddef>
#include <cstdint>

namespace troupe {

/// `count` numbers in (-2, 2) that no library computes: the same on every machine. What the numerics
/// fingerprint runs its operations on.
template <class Real>
aligned_buffer<Real> fixed_numbers(std::size_t count, std::uint32_t seed) {
  aligned_buffer<Real> result(count);
  std::uint32_t state = seed * 2654435761u + 12345u;
  for (auto& v : result.span()) {
    state = state * 1664525u + 1013904223u;
    v = static_cast<Real>(static_cast<std::int32_t>(state >> 8) - (1 << 23)) * static_cast<Real>(0x1p-22);
  }
  return result;
}

} // namespace troupe
