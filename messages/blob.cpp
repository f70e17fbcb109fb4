#include "messages/blob.hpp"

#include "messages/memory_shelves.hpp"

#include <cstdlib>
#include <cstring>
#include <new>

namespace troupe {

namespace {

/// From this size on the system's allocator may give fresh pages every time.
constexpr std::size_t recycled_min = std::size_t{64} << 10;

} // namespace

blob blob::allocate(std::size_t size) {
  if (size >= recycled_min) {
    auto& shelves = memory_shelves::of_process();
    const auto rounded = memory_shelves::rounded(size);
    return {std::shared_ptr<const std::byte>(
              static_cast<std::byte*>(shelves.take(rounded)),
              [rounded, &shelves](const std::byte* p) { shelves.put(const_cast<std::byte*>(p), rounded); }),
            size};
  }
  const auto capacity = (size + alignment - 1) / alignment * alignment;
  auto* raw = static_cast<std::byte*>(std::aligned_alloc(alignment, capacity == 0 ? alignment : capacity));
  if (raw == nullptr) throw std::bad_alloc{};
  return {
    std::shared_ptr<const std::byte>(raw, [](const std::byte* p) { std::free(const_cast<std::byte*>(p)); }),
    size};
}

blob blob::copy_of(std::span<const std::byte> bytes) {
  auto result = allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(result.mutable_data(), bytes.data(), bytes.size());
  return result;
}

blob blob::borrow(std::shared_ptr<const void> keeper, const std::byte* data, std::size_t size) {
  return {std::shared_ptr<const std::byte>(std::move(keeper), data), size};
}

blob blob::part(std::size_t offset, std::size_t size) const {
  return {std::shared_ptr<const std::byte>(data_, data() + offset), size};
}

} // namespace troupe
