#include "model/kernels/buffer_pool.hpp"

namespace troupe {

buffer_pool::buffer_pool() : shelves_(std::make_shared<memory_shelves>()) {
  // nop
}

buffer_pool::buffer buffer_pool::acquire_bytes(std::size_t bytes) {
  const auto size = memory_shelves::rounded(bytes);
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
