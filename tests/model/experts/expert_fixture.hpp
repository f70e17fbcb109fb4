#pragma once

#include "messages/check.hpp"
#include "model/experts/mlp_expert.hpp"
#include "model/random.hpp"

#include <cstring>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace troupe::testing {

/// An expert to test, and random inputs for it.
struct expert_case {
  std::int64_t in = 13;
  std::int64_t hidden = 50;
  std::int64_t out = 10;
  std::string activation = "silu";
  std::string precision = "f32";
  bool bias = true;
  std::string optimizer = "sgd";

  configuration config() const {
    configuration c;
    c.model.expert_hidden_size = hidden;
    c.model.expert_activation = activation;
    c.model.expert_bias = bias;
    c.model.precision = precision;
    c.optimizer.name = optimizer;
    c.schedule.seed = 7;
    return c;
  }

  model_shape widths() const {
    model_shape s;
    s.input_width = in;
    s.output_width = out;
    return s;
  }

  std::unique_ptr<expert_module> make(owner_id owner = {0, 1, 0}) const {
    return make_mlp_expert(config(), widths(), owner).value();
  }
};

template <class Real>
tensor normal_tensor(shape dims, std::uint64_t seed) {
  auto result = tensor::allocate(dtype_of<Real>(), dims);
  philox_stream(seed, "test input").fill_normal(result.template mutable_as<Real>());
  return result;
}

inline tensor index_tensor(const std::vector<std::int32_t>& indices) {
  return tensor::of<std::int32_t>({static_cast<std::int64_t>(indices.size())}, indices);
}

inline row_selection selection_of(const tensor& rows, const tensor& indices) {
  return {rows, indices, 0, static_cast<std::uint32_t>(indices.rows())};
}

inline bool same_bytes(const tensor& a, const tensor& b) {
  return a.present() == b.present() && a.type() == b.type() && a.dims() == b.dims()
         && (a.bytes() == 0 || std::memcmp(a.data().data(), b.data().data(), a.bytes()) == 0);
}

inline void replace_parameters(expert_module& expert, std::span<const named_tensor> values) {
  const auto done = expert.set_parameters(values);
  TROUPE_CHECK(done.has_value(), done.error().text);
}

/// The gradient in a sum by parameter name: a plain SGD step of rate 1 from parameters p gives p - gradient,
/// read off at p = 0 so that nothing is rounded. `make` must make an sgd expert of the same shape.
inline std::vector<named_tensor> gradient_of(expert_module& expert, const gradient_sum& sum) {
  const auto before = expert.parameters();
  std::vector<named_tensor> zeros;
  for (const auto& p : before) zeros.push_back({p.name, tensor::zeros(p.value.type(), p.value.dims())});
  replace_parameters(expert, zeros);
  expert.apply(sum, {-1, 1, 0});
  auto result = expert.parameters();
  replace_parameters(expert, before);
  return result;
}

} // namespace troupe::testing
