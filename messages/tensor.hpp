#pragma once

#include "messages/blob.hpp"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace troupe {

/// Element types that travel.
enum class dtype : std::uint8_t { u8, i32, i64, f32, f64 };

/// Bytes of one element.
std::size_t size_of(dtype type) noexcept;

/// `f32` for float and so on.
template <class T>
constexpr dtype dtype_of();
template <>
constexpr dtype dtype_of<std::uint8_t>() {
  return dtype::u8;
}
template <>
constexpr dtype dtype_of<std::int32_t>() {
  return dtype::i32;
}
template <>
constexpr dtype dtype_of<std::int64_t>() {
  return dtype::i64;
}
template <>
constexpr dtype dtype_of<float>() {
  return dtype::f32;
}
template <>
constexpr dtype dtype_of<double>() {
  return dtype::f64;
}

/// Up to four dimensions, row-major.
class shape {
public:
  static constexpr std::size_t rank_max = 4;

  shape() = default;
  shape(std::initializer_list<std::int64_t> dims);
  explicit shape(std::span<const std::int64_t> dims);

  std::size_t rank() const noexcept { return rank_; }

  std::int64_t operator[](std::size_t i) const noexcept { return dims_[i]; }

  /// Product of the dimensions; 1 for a scalar. Never overflows for a shape that came over the wire:
  /// `decode` refuses those of more than `message_bytes_max`.
  std::int64_t elements() const noexcept;

  std::span<const std::int64_t> dims() const noexcept { return {dims_.data(), rank_}; }

  bool operator==(const shape& other) const noexcept;

private:
  std::array<std::int64_t, rank_max> dims_{};
  std::size_t rank_ = 0;
};

/// "[128, 784]"
std::string to_string(const shape& s);
std::string to_string(dtype type);

/// A dense row-major tensor: type, shape and bytes. A value: copying shares the bytes. A default-made one is
/// "absent".
class tensor {
public:
  tensor() = default;

  /// Wraps existing bytes; `data.size()` must equal the shape's size in bytes (checked, always).
  tensor(dtype type, shape dims, blob data);

  /// Uninitialised memory for the caller to fill before sharing it.
  static tensor allocate(dtype type, shape dims);
  static tensor zeros(dtype type, shape dims);

  template <class T>
  static tensor of(shape dims, std::span<const T> values);

  bool present() const noexcept { return present_; }

  dtype type() const noexcept { return type_; }

  const shape& dims() const noexcept { return dims_; }

  std::int64_t rows() const noexcept { return dims_.rank() == 0 ? 1 : dims_[0]; }

  /// Elements per row: the product of all dimensions but the first.
  std::int64_t row_elements() const noexcept;

  const blob& data() const noexcept { return data_; }

  std::size_t bytes() const noexcept { return data_.size(); }

  /// Typed view; the type must be the tensor's own (checked, always).
  template <class T>
  std::span<const T> as() const {
    check(dtype_of<T>());
    return {reinterpret_cast<const T*>(data_.data()), static_cast<std::size_t>(dims_.elements())};
  }

  template <class T>
  std::span<T> mutable_as() {
    check(dtype_of<T>());
    return {reinterpret_cast<T*>(data_.mutable_data()), static_cast<std::size_t>(dims_.elements())};
  }

private:
  void check(dtype type) const;

  dtype type_ = dtype::f32;
  shape dims_;
  blob data_;
  bool present_ = false;
};

template <class T>
tensor tensor::of(shape dims, std::span<const T> values) {
  return {dtype_of<T>(), dims, blob::copy_of(std::as_bytes(values))};
}

} // namespace troupe
