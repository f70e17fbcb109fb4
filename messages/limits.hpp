#pragma once

#include <cstddef>
#include <cstdint>

namespace troupe {

/// Version of the wire format and protocol; nodes of different versions do not join each other.
constexpr std::uint32_t protocol_version = 2;

/// Every bound in one place. A message or file beyond one is refused with an error that names the bound.
struct limits {
  std::size_t message_bytes_max = std::size_t{1} << 30; ///< one message: 1 GiB, a bundle of 64 k rows of 4 k
                                                        ///< floats
  std::size_t header_bytes_max = std::size_t{4} << 20;  ///< Cap'n Proto part: ids and lists; the largest
                                                        ///< entries, 56 bytes each, are experts' tensors
  std::uint32_t payloads_max = 4096; ///< tensors beside one header: at most one per expert of a bundle
  std::uint32_t experts_max = 4096;  ///< per layer; node ids and spans are 16 and 32 bit
  std::uint32_t layers_max = 1024;
  std::uint32_t microbatches_max = 65536; ///< per step
  std::uint32_t nodes_max = 1024;
  std::size_t text_bytes_max = std::size_t{1} << 20; ///< names, reasons, configurations
};

} // namespace troupe
