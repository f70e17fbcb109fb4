#pragma once

#include "messages/memory_shelves.hpp"
#include "messages/tensor.hpp"
#include "model/kernels/aligned_buffer.hpp"

#include <cstddef>
#include <memory>
#include <utility>

namespace troupe {

/// Lends 64-byte aligned memory. It goes back to the pool when its last user lets go, on any thread, also
/// after the pool itself has died.
class buffer_pool {
public:
  /// Memory on loan. Contents are whatever they were.
  class buffer {
  public:
    buffer() = default;

    template <class T>
    T* as() const noexcept {
      return static_cast<T*>(memory_.get());
    }

    explicit operator bool() const noexcept { return memory_ != nullptr; }

    void reset() noexcept { memory_.reset(); }

  private:
    friend class buffer_pool;
    std::shared_ptr<void> memory_;
  };

  buffer_pool();

  buffer acquire_bytes(std::size_t bytes);

  template <class T>
  buffer acquire(std::ptrdiff_t count) {
    return acquire_bytes(static_cast<std::size_t>(count) * sizeof(T));
  }

  /// A tensor for the caller to fill before sharing it; its memory comes back when the last copy dies.
  tensor make_tensor(dtype type, const shape& dims);

private:
  std::shared_ptr<memory_shelves> shelves_;
};

} // namespace troupe
