#include "model/experts/mlp_layout.hpp"

#include <algorithm>

namespace troupe {

template <class Real>
mlp_layout<Real>::mlp_layout(const mlp_shape& s) : first{s.in, s.hidden}, second{s.hidden, s.out} {
  const auto gated = s.gated();
  const auto layer = [&](const char* weight, const char* bias, std::int64_t rows, std::int64_t columns,
                         std::size_t& weight_at, std::size_t& bias_at) {
    add(weight_at, weight, rows, columns, false);
    if (s.bias) add(bias_at, bias, rows, 1, true);
  };
  layer(gated ? "w_gate" : "w1", gated ? "b_gate" : "b1", s.hidden, s.in, w1, b1);
  if (gated) layer("w_up", "b_up", s.hidden, s.in, up, up_bias);
  layer(gated ? "w_down" : "w2", gated ? "b_down" : "b2", s.out, s.hidden, w2, b2);
}

template <class Real>
void mlp_layout<Real>::add(std::size_t& position, const std::string& name, std::int64_t rows,
                           std::int64_t columns, bool is_bias) {
  position = size;
  const panels<Real> where{columns, rows};
  entries.push_back({name, is_bias ? shape{rows} : shape{rows, columns}, size, where});
  size += where.size();
}

template <class Real>
std::vector<named_tensor> mlp_layout<Real>::unpack(std::span<const Real> flat) const {
  std::vector<named_tensor> result;
  for (const auto& e : entries) {
    auto value = tensor::allocate(dtype_of<Real>(), e.dims);
    e.where.unpack(flat.data() + e.offset, value.template mutable_as<Real>().data());
    result.push_back({e.name, std::move(value)});
  }
  return result;
}

template <class Real>
expected<void> mlp_layout<Real>::pack(std::span<const named_tensor> values, std::span<Real> flat) const {
  std::vector<const tensor*> found;
  for (const auto& e : entries) {
    const auto it = std::ranges::find(values, e.name, &named_tensor::name);
    if (it == values.end())
      return fail(error_code::malformed,
                  "[expert] parameter " + e.name + ": missing; give every parameter of the expert");
    const auto& value = it->value;
    if (!value.present() || value.type() != dtype_of<Real>() || !(value.dims() == e.dims))
      return fail(error_code::malformed,
                  "[expert] parameter " + e.name + ": got "
                    + (value.present() ? to_string(value.type()) + " " + to_string(value.dims()) : "none")
                    + ", expected " + to_string(dtype_of<Real>()) + " " + to_string(e.dims));
    found.push_back(&value);
  }
  if (values.size() != entries.size())
    return fail(error_code::malformed, "[expert] parameters: got " + std::to_string(values.size())
                                         + ", expected " + std::to_string(entries.size())
                                         + " with distinct, known names");
  for (std::size_t i = 0; i < entries.size(); ++i)
    entries[i].where.pack(found[i]->template as<Real>().data(), flat.data() + entries[i].offset);
  return {};
}

template <class Real>
void mlp_layout<Real>::clear_padding(std::span<Real> flat) const {
  for (const auto& e : entries) e.where.clear_padding(flat.data() + e.offset);
}

template struct mlp_layout<float>;
template struct mlp_layout<double>;

} // namespace troupe
