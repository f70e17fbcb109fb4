#include "model/kernels/buffer_pool.hpp"

#include "messages/memory_shelves.hpp"

namespace troupe::buffer_pool {

buffer acquire_bytes(std::size_t bytes) {
  auto& shelves = memory_shelves::of_process();
  const auto size = memory_shelves::rounded(bytes);
  buffer result;
  result.memory_ = std::shared_ptr<void>(shelves.take(size),
                                         [&shelves, size](void* p) { shelves.put(p, size); });
  return result;
}

tensor make_tensor(dtype type, const shape& dims) {
  const auto bytes = static_cast<std::size_t>(dims.elements()) * size_of(type);
  auto memory = acquire_bytes(bytes);
  const auto* data = memory.as<const std::byte>();
  return {type, dims, blob::borrow(std::move(memory.memory_), data, bytes)};
}

} // namespace troupe::buffer_pool
