#pragma once

#include "messages/error.hpp"
#include "messages/tensor.hpp"
#include "model/checkpoint/file.hpp"
#include "model/parameter_set.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

// safetensors files: u64 header length N, N bytes of JSON, then the tensors' bytes. All numbers
// little-endian.

/// Free text beside the tensors, `__metadata__` in the file.
using safetensors_metadata = std::map<std::string, std::string>;

/// One tensor of a file. `begin` and `end` count from the start of the tensor buffer.
struct safetensors_entry {
  std::string type; ///< as the file spells it: "F32", "BF16", ...
  std::vector<std::int64_t> dims;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// What a file's header says, checked against the file's size.
struct safetensors_header {
  std::map<std::string, safetensors_entry> entries;
  safetensors_metadata metadata;
  std::uint64_t buffer_begin = 0; ///< 8 + N

  /// Checks and parses the N bytes after the length. Refused, by the tensor's name: unknown dtype, dimensions
  /// that are no whole numbers ≥ 0, sizes beyond 63 bits, ranges that do not match shape and dtype, holes,
  /// overlaps, duplicate names. `where` names the source in error texts. Error: malformed.
  static expected<safetensors_header> parse(std::string_view json, std::uint64_t file_bytes,
                                            const std::string& where);
};

/// A file open for reading whole tensors or ranges of their rows. Threading: const methods may run
/// concurrently.
class safetensors_file {
public:
  /// Reads the header only. Errors: not_found, unavailable, malformed.
  static expected<safetensors_file> open(const std::filesystem::path& path);

  /// A file whose bytes are in memory already; `path` is for error texts.
  static expected<safetensors_file> over(blob bytes, const std::filesystem::path& path);

  const std::filesystem::path& path() const noexcept { return path_; }

  const std::map<std::string, safetensors_entry>& entries() const noexcept { return header_.entries; }

  const safetensors_metadata& metadata() const noexcept { return header_.metadata; }

  /// A whole tensor of dtype U8, I32, I64, F32 or F64 and at most four dimensions. Errors: not_found,
  /// malformed, unavailable.
  expected<tensor> read(const std::string& name) const;

  /// Rows [first, first + count) along the first dimension; reads only their bytes. Further error:
  /// over_limit.
  expected<tensor> read_rows(const std::string& name, std::int64_t first, std::int64_t count) const;

private:
  expected<const safetensors_entry*> find(const std::string& name) const;
  expected<tensor> read_range(const std::string& name, const safetensors_entry& entry,
                              std::span<const std::int64_t> dims, std::uint64_t begin,
                              std::uint64_t bytes) const;
  expected<blob> bytes(std::uint64_t offset, std::uint64_t size) const;

  std::filesystem::path path_;
  std::shared_ptr<const input_file> file_; ///< null if the bytes are in memory
  blob memory_;
  safetensors_header header_;
};

/// Dtype name in the file format: "F32" for f32.
std::string safetensors_type(dtype type);

/// A file's bytes up to the tensor buffer, and the tensors in the order in which their bytes follow: by
/// falling element size, then by name, so that each is aligned. A pure function of its arguments: the same
/// tensors give the same bytes.
struct safetensors_layout {
  std::string head;
  std::vector<const named_tensor*> order;
};

/// Error: malformed, for a name that is given twice, is not UTF-8 or is reserved, and for an absent tensor.
expected<safetensors_layout> lay_out(std::span<const named_tensor> tensors,
                                     const safetensors_metadata& metadata);

/// The whole file in memory, a copy.
expected<blob> safetensors_bytes(std::span<const named_tensor> tensors, const safetensors_metadata& metadata);

/// Writes the file (temporary file, flush, rename).
expected<void> write_safetensors(const std::filesystem::path& path, std::span<const named_tensor> tensors,
                                 const safetensors_metadata& metadata);

} // namespace troupe
