#include "model/kernels/buffer_pool.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

namespace troupe {

namespace {

constexpr std::size_t smallest = 1024;
/// Per size: what more than this many messages in flight leave behind is given back to the system.
constexpr std::size_t kept_max = 32;

/// Powers of two and the steps 5/4, 6/4, 7/4 between them: at most a quarter is wasted.
std::size_t rounded(std::size_t bytes) {
  bytes = std::max(bytes, smallest);
  const auto step = std::bit_floor(bytes) / 4;
  return (bytes + step - 1) / step * step;
}

/// Index of a rounded size.
std::size_t shelf_of(std::size_t rounded_bytes) {
  const auto exponent = static_cast<std::size_t>(std::bit_width(rounded_bytes)) - 1;
  return exponent * 4 + (rounded_bytes >> (exponent - 2)) % 4;
}

} // namespace

struct buffer_pool::shelves {
  std::mutex mutex;
  std::array<std::vector<void*>, 256> free;

  void* take(std::size_t bytes) {
    {
      const std::lock_guard lock(mutex);
      auto& shelf = free[shelf_of(bytes)];
      if (!shelf.empty()) {
        auto* memory = shelf.back();
        shelf.pop_back();
        return memory;
      }
    }
    auto* memory = std::aligned_alloc(64, bytes);
    if (memory == nullptr) throw std::bad_alloc{};
    return memory;
  }

  void put(void* memory, std::size_t bytes) noexcept {
    {
      const std::lock_guard lock(mutex);
      auto& shelf = free[shelf_of(bytes)];
      if (shelf.capacity() == 0) shelf.reserve(kept_max);
      if (shelf.size() < kept_max) {
        shelf.push_back(memory);
        return;
      }
    }
    std::free(memory);
  }

  ~shelves() {
    for (auto& shelf : free)
      for (auto* memory : shelf) std::free(memory);
  }
};

buffer_pool::buffer_pool() : shelves_(std::make_shared<shelves>()) {
  // nop
}

buffer_pool::buffer buffer_pool::acquire_bytes(std::size_t bytes) {
  const auto size = rounded(bytes);
  buffer result;
  result.memory_ = std::shared_ptr<void>(shelves_->take(size),
                                         [from = shelves_, size](void* p) { from->put(p, size); });
  return result;
}

tensor buffer_pool::make_tensor(dtype type, const shape& dims) {
  const auto bytes = static_cast<std::size_t>(dims.elements()) * size_of(type);
  auto memory = acquire_bytes(bytes);
  const auto* data = memory.as<const std::byte>();
  return {type, dims, blob::borrow(std::move(memory.memory_), data, bytes)};
}

} // namespace troupe
