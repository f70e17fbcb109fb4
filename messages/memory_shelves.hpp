#pragma once

#include <array>
#include <cstddef>
#include <mutex>

namespace troupe {

/// Recycles 64-byte aligned blocks: a fresh page costs more than the arithmetic on it. Thread-safe.
class memory_shelves {
public:
  /// The shelves that all of this process share. They live as long as it does, since blocks may outlive
  /// everything, and keep a sixteenth of the machine's memory: 512 MiB at least, 4 GiB at most.
  static memory_shelves& of_process();

  /// A block's size on its shelf: powers of two and the steps 5/4, 6/4, 7/4 between them, from 1 KiB on; at
  /// most a quarter is wasted.
  static std::size_t rounded(std::size_t bytes);

  /// Keeps blocks of `kept_bytes_max` together that nobody uses; what comes back beyond goes to the system.
  explicit memory_shelves(std::size_t kept_bytes_max);
  memory_shelves(const memory_shelves&) = delete;
  memory_shelves& operator=(const memory_shelves&) = delete;
  ~memory_shelves();

  /// A block of `bytes`, a rounded size. Contents are whatever they were.
  void* take(std::size_t bytes);

  /// Gives back a block that was taken as `bytes`.
  void put(void* memory, std::size_t bytes) noexcept;

  /// Bytes on the shelves, which nobody uses.
  std::size_t kept_bytes() const;

private:
  /// What a block holds while it lies on its shelf.
  struct idle_block {
    idle_block* next = nullptr;
  };

  const std::size_t kept_bytes_max_;
  mutable std::mutex mutex_;
  std::array<idle_block*, 256> shelves_{}; ///< by size; the block that came back last is on top
  std::size_t kept_bytes_ = 0;
};

} // namespace troupe
