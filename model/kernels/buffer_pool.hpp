#pragma once

#include "messages/tensor.hpp"

#include <cstddef>
#include <memory>

/// Lends 64-byte aligned memory from the process's shelves (messages/memory_shelves.hpp). It goes back there
/// when its last user lets go, on any thread.
namespace troupe::buffer_pool {

/// Memory on loan. Contents are whatever they were.
class buffer {
public:
  buffer() = default;

  template <class T>
  T* as() const noexcept {
    return static_cast<T*>(memory_.get());
  }

  explicit operator bool() const noexcept { return memory_ != nullptr; }

private:
  friend buffer acquire_bytes(std::size_t bytes);
  friend tensor make_tensor(dtype type, const shape& dims);
  std::shared_ptr<void> memory_;
};

buffer acquire_bytes(std::size_t bytes);

template <class T>
buffer acquire(std::ptrdiff_t count) {
  return acquire_bytes(static_cast<std::size_t>(count) * sizeof(T));
}

/// A tensor for the caller to fill before sharing it; its memory comes back when the last copy dies.
tensor make_tensor(dtype type, const shape& dims);

} // namespace troupe::buffer_pool
