#pragma once

#include "messages/tensor.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

namespace troupe::test {

/// The same numbers as a tensor of LibTorch's, in memory of its own. Row-major, as ours are.
inline at::Tensor to_torch(const tensor& t) {
  const auto dims = t.dims().dims();
  const auto type = t.type() == dtype::f32   ? at::kFloat
                    : t.type() == dtype::f64 ? at::kDouble
                    : t.type() == dtype::i64 ? at::kLong
                                             : at::kByte;
  return at::from_blob(const_cast<std::byte*>(t.data().data()), at::IntArrayRef(dims.data(), dims.size()),
                       at::TensorOptions().dtype(type))
    .clone();
}

} // namespace troupe::test
