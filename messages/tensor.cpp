#include "messages/tensor.hpp"

#include "messages/check.hpp"

#include <algorithm>
#include <cstring>

namespace troupe {

std::size_t size_of(dtype type) noexcept {
  switch (type) {
    case dtype::u8: return 1;
    case dtype::i32:
    case dtype::f32: return 4;
    case dtype::i64:
    case dtype::f64: return 8;
  }
  return 0;
}

std::string to_string(dtype type) {
  switch (type) {
    case dtype::u8: return "u8";
    case dtype::i32: return "i32";
    case dtype::f32: return "f32";
    case dtype::i64: return "i64";
    case dtype::f64: return "f64";
  }
  return "?";
}

shape::shape(std::initializer_list<std::int64_t> dims) : shape(std::span(dims.begin(), dims.size())) {
  // nop
}

shape::shape(std::span<const std::int64_t> dims) : rank_(dims.size()) {
  TROUPE_CHECK(dims.size() <= rank_max, "shape has " + std::to_string(dims.size()) + " dimensions, limit 4");
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

std::int64_t shape::elements() const noexcept {
  std::int64_t result = 1;
  for (auto d : dims()) result *= d;
  return result;
}

bool shape::operator==(const shape& other) const noexcept {
  return std::ranges::equal(dims(), other.dims());
}

std::string to_string(const shape& s) {
  std::string out = "[";
  for (std::size_t i = 0; i < s.rank(); ++i) {
    if (i != 0) out += ", ";
    out += std::to_string(s[i]);
  }
  return out + "]";
}

tensor::tensor(dtype type, shape dims, blob data)
  : type_(type), dims_(dims), data_(std::move(data)), present_(true) {
  TROUPE_CHECK(static_cast<std::size_t>(dims_.elements()) * size_of(type_) == data_.size(),
               to_string(type) + " " + to_string(dims) + " with " + std::to_string(data_.size()) + " bytes");
}

tensor tensor::allocate(dtype type, shape dims) {
  return {type, dims, blob::allocate(static_cast<std::size_t>(dims.elements()) * size_of(type))};
}

tensor tensor::zeros(dtype type, shape dims) {
  auto result = allocate(type, dims);
  if (result.bytes() != 0) std::memset(result.data_.mutable_data(), 0, result.bytes());
  return result;
}

std::int64_t tensor::row_elements() const noexcept {
  std::int64_t result = 1;
  for (std::size_t i = 1; i < dims_.rank(); ++i) result *= dims_[i];
  return result;
}

void tensor::check(dtype type) const {
  TROUPE_CHECK(present_ && type == type_, "asked for " + to_string(type) + ", the tensor is "
                                            + (present_ ? to_string(type_) : std::string("absent")));
}

} // namespace troupe
