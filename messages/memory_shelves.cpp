#include "messages/memory_shelves.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

namespace troupe {

namespace {

constexpr std::size_t smallest = 1024;
/// Per size: what more than this many messages in flight leave behind is given back to the system.
constexpr std::size_t kept_max = 32;
/// Of all sizes together.
constexpr std::size_t kept_bytes_max = std::size_t{512} << 20;

/// Index of a rounded size.
std::size_t shelf_of(std::size_t rounded_bytes) {
  const auto exponent = static_cast<std::size_t>(std::bit_width(rounded_bytes)) - 1;
  return exponent * 4 + (rounded_bytes >> (exponent - 2)) % 4;
}

} // namespace

std::size_t memory_shelves::rounded(std::size_t bytes) {
  bytes = std::max(bytes, smallest);
  const auto step = std::bit_floor(bytes) / 4;
  return (bytes + step - 1) / step * step;
}

void* memory_shelves::take(std::size_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    auto& shelf = free_[shelf_of(bytes)];
    if (!shelf.empty()) {
      auto* memory = shelf.back();
      shelf.pop_back();
      kept_bytes_ -= bytes;
      return memory;
    }
  }
  auto* memory = std::aligned_alloc(64, bytes);
  if (memory == nullptr) throw std::bad_alloc{};
  return memory;
}

void memory_shelves::put(void* memory, std::size_t bytes) noexcept {
  {
    const std::lock_guard lock(mutex_);
    auto& shelf = free_[shelf_of(bytes)];
    if (shelf.capacity() == 0) shelf.reserve(kept_max);
    if (shelf.size() < kept_max && kept_bytes_ + bytes <= kept_bytes_max) {
      shelf.push_back(memory);
      kept_bytes_ += bytes;
      return;
    }
  }
  std::free(memory);
}

memory_shelves::~memory_shelves() {
  for (auto& shelf : free_)
    for (auto* memory : shelf) std::free(memory);
}

} // namespace troupe
