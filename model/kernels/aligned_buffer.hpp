#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <span>

namespace troupe {

/// Zero-initialised, 64-byte aligned memory for `size` numbers. The capacity is rounded up to whole 64-byte
/// vectors, the rest is zero too.
template <class Real>
class aligned_buffer {
public:
  static constexpr std::size_t alignment = 64;

  aligned_buffer() = default;

  explicit aligned_buffer(std::size_t size)
    : size_(size), data_(new (std::align_val_t{alignment}) Real[padded(size)]) {
    clear();
  }

  /// Numbers per 64 bytes.
  static constexpr std::size_t lanes = alignment / sizeof(Real);

  /// `count` rounded up to whole vectors.
  static constexpr std::size_t padded(std::size_t count) noexcept {
    return (count + lanes - 1) / lanes * lanes;
  }

  void clear() noexcept { std::fill_n(data_.get(), padded(size_), Real{0}); }

  std::size_t size() const noexcept { return size_; }

  Real* data() noexcept { return data_.get(); }

  const Real* data() const noexcept { return data_.get(); }

  std::span<Real> span() noexcept { return {data(), size_}; }

  std::span<const Real> span() const noexcept { return {data(), size_}; }

private:
  struct deleter {
    void operator()(Real* p) const noexcept { ::operator delete[](p, std::align_val_t{alignment}); }
  };

  std::size_t size_ = 0;
  std::unique_ptr<Real[], deleter> data_;
};

} // namespace troupe
