#pragma once

#include "messages/blob.hpp"
#include "messages/error.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace troupe {

// Files as the runtime uses them: read as a whole or in ranges, written so that a reader sees the old content
// or the new one and never a part. Errors: not_found (it does not exist), unavailable (the system refused),
// malformed (too short).

/// A file open for reading at positions. Threading: `read` may run concurrently.
class input_file {
public:
  static expected<input_file> open(const std::filesystem::path& path);

  input_file(input_file&& other) noexcept;
  input_file& operator=(input_file&& other) noexcept;
  ~input_file();

  const std::filesystem::path& path() const noexcept { return path_; }

  std::uint64_t size() const noexcept { return size_; }

  /// Bytes [offset, offset + size), 64-byte aligned in memory.
  expected<blob> read(std::uint64_t offset, std::uint64_t size) const;

  /// The whole file, mapped read-only. For files that are only ever replaced by rename, never changed in
  /// place.
  expected<blob> map() const;

private:
  input_file(std::filesystem::path path, int descriptor, std::uint64_t size);

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// Writes `parts` one after the other to a file that must not exist yet, and flushes it to the disk.
expected<void> write_new_file(const std::filesystem::path& path,
                              const std::vector<std::span<const std::byte>>& parts);

/// Writes `parts` one after the other to a temporary file beside `path`, flushes it to the disk and renames
/// it. Links are followed, and stay. What is there and no plain file, such as a device, is written to.
expected<void> write_file_atomically(const std::filesystem::path& path,
                                     const std::vector<std::span<const std::byte>>& parts);
expected<void> write_file_atomically(const std::filesystem::path& path, std::string_view text);

/// Whether `write_file_atomically` could write there. Asked before a run starts, so that it does not fail
/// after it.
expected<void> check_file_target(const std::filesystem::path& target);

/// Flushes a directory's entries to the disk.
expected<void> sync_directory(const std::filesystem::path& path);

/// A name beside `path` that nobody uses or has left behind: `path` + ".tmp-<random>". Process ids would not
/// do: in containers every run has the same.
std::filesystem::path temporary_beside(const std::filesystem::path& path);

} // namespace troupe
