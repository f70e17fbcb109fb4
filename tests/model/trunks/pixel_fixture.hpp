#pragma once

#include "messages/tensor.hpp"

#include <cstddef>
#include <cstdint>

namespace troupe::testing {

/// Bytes that stand for pixels, in no order that a kernel's blocks could repeat.
inline tensor pixels(std::int64_t rows, std::int64_t width) {
  auto out = tensor::allocate(dtype::u8, {rows, width});
  auto bytes = out.mutable_as<std::uint8_t>();
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * i % 251);
  return out;
}

} // namespace troupe::testing
