#pragma once

#include <array>
#include <cstddef>
#include <mutex>
#include <vector>

namespace troupe {

/// Recycles 64-byte aligned blocks: a fresh page costs more than the arithmetic on it. Thread-safe.
class memory_shelves {
public:
  /// A block's size on its shelf: powers of two and the steps 5/4, 6/4, 7/4 between them, from 1 KiB on; at
  /// most a quarter is wasted.
  static std::size_t rounded(std::size_t bytes);

  memory_shelves() = default;
  memory_shelves(const memory_shelves&) = delete;
  memory_shelves& operator=(const memory_shelves&) = delete;
  ~memory_shelves();

  /// A block of `bytes`, a rounded size. Contents are whatever they were.
  void* take(std::size_t bytes);

  /// Gives back a block that was taken as `bytes`. What would be too much to keep goes back to the system.
  void put(void* memory, std::size_t bytes) noexcept;

private:
  std::mutex mutex_;
  std::array<std::vector<void*>, 256> free_;
  std::size_t kept_bytes_ = 0;
};

} // namespace troupe
