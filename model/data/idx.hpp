#pragma once

#include "messages/blob.hpp"
#include "messages/error.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace troupe {

/// What a gzipped IDX file of bytes must hold.
struct idx_expectation {
  std::string name;                      ///< file name
  std::vector<std::uint32_t> dimensions; ///< {60000, 28, 28}
  std::string sha256;                    ///< of the decompressed file; empty: not compared
};

/// The elements of a gzipped IDX file (type byte 8: unsigned bytes), row-major. Checked in this order: it
/// exists, decompresses whole (gzip's own CRC), magic number, dimensions, length, SHA-256. Errors: not_found,
/// unavailable, malformed; the text names the file.
expected<blob> read_idx_gz(const std::filesystem::path& directory, const idx_expectation& wanted);

} // namespace troupe
