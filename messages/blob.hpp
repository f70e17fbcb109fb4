#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace troupe {

/// Ref-counted bytes, 64-byte aligned, written by whoever allocated them and immutable once shared.
/// Copying a blob copies a pointer. Thread-safe as `std::shared_ptr` is.
class blob {
public:
  static constexpr std::size_t alignment = 64;

  blob() = default;

  /// Uninitialised bytes. The capacity is rounded up to a multiple of 64, so that kernels may read whole
  /// vectors.
  static blob allocate(std::size_t size);

  /// A copy of `bytes`.
  static blob copy_of(std::span<const std::byte> bytes);

  /// `size` bytes of memory that somebody else keeps alive through `keeper` (a mapped file, say). No copy.
  static blob borrow(std::shared_ptr<const void> keeper, const std::byte* data, std::size_t size);

  /// The part [offset, offset+size) of this blob, sharing its memory. Its alignment is that of the offset.
  blob part(std::size_t offset, std::size_t size) const;

  const std::byte* data() const noexcept { return data_.get(); }

  std::size_t size() const noexcept { return size_; }

  std::span<const std::byte> bytes() const noexcept { return {data(), size_}; }

  /// Write access for the one who allocated the blob, before it is shared.
  std::byte* mutable_data() noexcept { return const_cast<std::byte*>(data_.get()); }

private:
  blob(std::shared_ptr<const std::byte> data, std::size_t size) : data_(std::move(data)), size_(size) {
    // nop
  }

  std::shared_ptr<const std::byte> data_;
  std::size_t size_ = 0;
};

} // namespace troupe
