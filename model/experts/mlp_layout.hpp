#pragma once

#include "messages/error.hpp"
#include "messages/tensor.hpp"
#include "model/kernels/panels.hpp"
#include "model/parameter_set.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// Shape of one expert: in → hidden → out.
struct mlp_shape {
  enum class activation_kind : std::uint8_t { relu, silu, gelu, swiglu };

  std::int64_t in = 0;
  std::int64_t hidden = 0;
  std::int64_t out = 0;
  activation_kind activation = activation_kind::relu;
  bool bias = true;

  bool gated() const noexcept { return activation == activation_kind::swiglu; }

  bool operator==(const mlp_shape&) const = default;
};

/// Where the parameters of an expert lie in its flat buffer. Gradients and moments have the same layout.
///
/// Named tensors are row-major [out, in], as in LibTorch; in memory a weight is the panels of its transpose
/// (`kernels`), which is what every product of training reads or writes front to back. Each tensor begins
/// 64-byte aligned; padding is 0 and stays 0: its gradient is 0.
template <class Real>
struct mlp_layout {
  struct entry {
    std::string name;
    shape dims;
    std::size_t offset = 0;
    panels<Real> where; ///< a bias is one row
  };

  explicit mlp_layout(const mlp_shape& s);

  std::vector<entry> entries; ///< canonical order: w1, b1, w2, b2 or w_gate, b_gate, w_up, b_up, w_down,
                              ///< b_down
  std::size_t size = 0;       ///< numbers in the flat buffer

  // Offsets; `absent` where the shape has none. The names are those of the plain MLP: w1/b1 is the gate of a
  // gated one.
  static constexpr std::size_t absent = ~std::size_t{0};
  std::size_t w1 = absent;
  std::size_t b1 = absent;
  std::size_t up = absent;
  std::size_t up_bias = absent;
  std::size_t w2 = absent;
  std::size_t b2 = absent;

  panels<Real> first;  ///< of w1 and up: [in, hidden]
  panels<Real> second; ///< of w2: [hidden, out]

  /// Copies as named tensors.
  std::vector<named_tensor> unpack(std::span<const Real> flat) const;

  /// The inverse: every tensor by name, with its exact shape and type, once. Leaves `flat` alone if it
  /// refuses.
  expected<void> pack(std::span<const named_tensor> values, std::span<Real> flat) const;

  void clear_padding(std::span<Real> flat) const;

private:
  void add(std::size_t& position, const std::string& name, std::int64_t rows, std::int64_t columns,
           bool is_bias);
};

} // namespace troupe
