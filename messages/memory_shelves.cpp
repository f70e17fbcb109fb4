#include "messages/memory_shelves.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>
#include <utility>

#include <unistd.h>

namespace troupe {

namespace {

constexpr std::size_t smallest = 1024;

constexpr std::size_t mebibyte = std::size_t{1} << 20;

std::size_t machine_bytes() {
  return static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES))
         * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

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

memory_shelves& memory_shelves::of_process() {
  static auto& shelves = *new memory_shelves(
    std::clamp(machine_bytes() / 16, 512 * mebibyte, 4096 * mebibyte));
  return shelves;
}

memory_shelves::memory_shelves(std::size_t kept_bytes_max) : kept_bytes_max_(kept_bytes_max) {
  // nop
}

void* memory_shelves::take(std::size_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    if (auto*& top = shelves_[shelf_of(bytes)]; top != nullptr) {
      kept_bytes_ -= bytes;
      return std::exchange(top, top->next);
    }
  }
  auto* memory = std::aligned_alloc(64, bytes);
  if (memory == nullptr) throw std::bad_alloc{};
  return memory;
}

void memory_shelves::put(void* memory, std::size_t bytes) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (kept_bytes_ + bytes <= kept_bytes_max_) {
      auto*& top = shelves_[shelf_of(bytes)];
      top = new (memory) idle_block{top};
      kept_bytes_ += bytes;
      return;
    }
  }
  std::free(memory);
}

std::size_t memory_shelves::kept_bytes() const {
  const std::lock_guard lock(mutex_);
  return kept_bytes_;
}

memory_shelves::~memory_shelves() {
  for (auto* top : shelves_)
    while (top != nullptr) std::free(std::exchange(top, top->next));
}

} // namespace troupe
