#pragma once

#include "messages/tensor.hpp"
#include "simulation/ledger.hpp"

#include <cstring>
#include <span>

namespace troupe::simulation {

// How the ledger's numbers lie in tensors.

/// Column of `small` words, f64 [n, 1].
inline tensor rows_of(std::span<const word> values) {
  auto result = tensor::allocate(dtype::f64, {static_cast<std::int64_t>(values.size()), 1});
  auto to = result.mutable_as<double>();
  for (std::size_t i = 0; i < values.size(); ++i) to[i] = static_cast<double>(values[i]);
  return result;
}

inline word value_at(const tensor& values, std::size_t i) {
  return static_cast<word>(values.as<double>()[i]);
}

/// All 64 bits of one word, f64 [2].
inline tensor pair_of(word x) {
  auto result = tensor::allocate(dtype::f64, {2});
  auto to = result.mutable_as<double>();
  to[0] = static_cast<double>(x >> 32);
  to[1] = static_cast<double>(x & 0xffffffffu);
  return result;
}

inline word word_of(const tensor& pair) {
  return (value_at(pair, 0) << 32) | value_at(pair, 1);
}

/// A word as bytes, u8 [8]: what an owner saves.
inline tensor bytes_of(word x) {
  auto result = tensor::allocate(dtype::u8, {sizeof x});
  std::memcpy(result.mutable_as<std::uint8_t>().data(), &x, sizeof x);
  return result;
}

inline word word_in(const tensor& bytes) {
  word x = 0;
  if (bytes.bytes() == sizeof x) std::memcpy(&x, bytes.data().data(), sizeof x);
  return x;
}

} // namespace troupe::simulation
