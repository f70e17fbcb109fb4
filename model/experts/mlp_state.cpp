// The other half of mlp_expert.cpp: parameters in and out, and the factory.

#include "model/experts/mlp_expert.hpp"

#include "messages/check.hpp"
#include "model/parameters/init.hpp"

#include <cstring>
#include <string>
#include <type_traits>

namespace troupe {

using activation_kind = mlp_shape::activation_kind;

template <class Real>
void mlp_expert<Real>::initialise(std::uint64_t seed, owner_id owner) {
  std::vector<named_tensor> values;
  for (const auto& e : layout_.entries) {
    auto value = tensor::allocate(dtype_of<Real>(), e.dims);
    const bool second = e.offset == layout_.w2 || e.offset == layout_.b2;
    init_uniform<Real>(value.template mutable_as<Real>(), second ? shape_.hidden : shape_.in, seed,
                       owner.layer, owner.expert, e.name);
    values.push_back({e.name, std::move(value)});
  }
  const auto done = layout_.pack(values, parameters_.span());
  TROUPE_CHECK(done.has_value(), done.error().text);
  parameters_changed();
}

namespace {

/// Begins a saved expert; parameters and moments follow in the layout of the flat buffer.
struct state_header {
  char magic[16] = {'t', 'r', 'o', 'u', 'p', 'e', ' ', 'm', 'l', 'p', ' ', '1'};
  std::uint64_t real_bytes = 0;
  std::int64_t in = 0;
  std::int64_t hidden = 0;
  std::int64_t out = 0;
  std::uint32_t activation = 0;
  std::uint32_t bias = 0;

  bool operator==(const state_header&) const = default;
};
static_assert(sizeof(state_header) == 56 && std::is_trivially_copyable_v<state_header>);

constexpr std::size_t state_begin = 64;

template <class Real>
state_header header_of(const mlp_shape& s) {
  state_header result;
  result.real_bytes = sizeof(Real);
  result.in = s.in;
  result.hidden = s.hidden;
  result.out = s.out;
  result.activation = static_cast<std::uint32_t>(s.activation);
  result.bias = s.bias ? 1 : 0;
  return result;
}

} // namespace

template <class Real>
tensor mlp_expert<Real>::save() const {
  const auto values = std::as_bytes(parameters_.span());
  const auto size = state_begin + values.size() + optimizer_.saved_bytes();
  auto result = tensor::zeros(dtype::u8, {static_cast<std::int64_t>(size)});
  const auto to = std::as_writable_bytes(result.template mutable_as<std::uint8_t>());
  const auto header = header_of<Real>(shape_);
  std::memcpy(to.data(), &header, sizeof header);
  std::memcpy(to.data() + state_begin, values.data(), values.size());
  optimizer_.save(to.subspan(state_begin + values.size()));
  return result;
}

template <class Real>
expected<void> mlp_expert<Real>::load(const tensor& state) {
  const auto values = std::as_writable_bytes(parameters_.span());
  const auto size = state_begin + values.size() + optimizer_.saved_bytes();
  if (!state.present() || state.type() != dtype::u8 || state.bytes() != size)
    return fail(error_code::malformed, "[expert] state: got " + std::to_string(state.bytes())
                                         + " bytes, expected u8 [" + std::to_string(size)
                                         + "]; was it saved with the same model and optimizer?");
  const auto from = state.data().bytes();
  state_header header;
  std::memcpy(&header, from.data(), sizeof header);
  if (!(header == header_of<Real>(shape_)))
    return fail(error_code::malformed,
                "[expert] state: got an expert of another shape, " + std::to_string(header.in) + " to "
                  + std::to_string(header.hidden) + " to " + std::to_string(header.out) + ", expected "
                  + std::to_string(shape_.in) + " to " + std::to_string(shape_.hidden) + " to "
                  + std::to_string(shape_.out) + " with the same type and activation");
  if (auto done = optimizer_.load(from.subspan(state_begin + values.size())); !done) return done;
  std::memcpy(values.data(), from.data() + state_begin, values.size());
  layout_.clear_padding(parameters_.span());
  parameters_changed();
  return {};
}

template <class Real>
std::vector<named_tensor> mlp_expert<Real>::parameters() const {
  return layout_.unpack(parameters_.span());
}

template <class Real>
expected<void> mlp_expert<Real>::set_parameters(std::span<const named_tensor> values) {
  if (auto done = layout_.pack(values, parameters_.span()); !done) return done;
  optimizer_.reset();
  parameters_changed();
  return {};
}

template void mlp_expert<float>::initialise(std::uint64_t, owner_id);
template tensor mlp_expert<float>::save() const;
template expected<void> mlp_expert<float>::load(const tensor&);
template std::vector<named_tensor> mlp_expert<float>::parameters() const;
template expected<void> mlp_expert<float>::set_parameters(std::span<const named_tensor>);
template void mlp_expert<double>::initialise(std::uint64_t, owner_id);
template tensor mlp_expert<double>::save() const;
template expected<void> mlp_expert<double>::load(const tensor&);
template std::vector<named_tensor> mlp_expert<double>::parameters() const;
template expected<void> mlp_expert<double>::set_parameters(std::span<const named_tensor>);

namespace {

template <class Real>
std::unique_ptr<expert_module> make(const configuration& config, const mlp_shape& s, owner_id owner,
                                    bool unset) {
  auto result = std::make_unique<mlp_expert<Real>>(s, config.optimizer);
  if (!unset) result->initialise(config.schedule.seed, owner);
  return result;
}

expected<activation_kind> activation_named(const std::string& name) {
  if (name == "relu") return activation_kind::relu;
  if (name == "silu") return activation_kind::silu;
  if (name == "gelu") return activation_kind::gelu;
  if (name == "swiglu") return activation_kind::swiglu;
  return fail(error_code::usage,
              "[expert] activation: got '" + name + "', known are relu, silu, gelu, swiglu");
}

mlp_shape shape_of_expert(const configuration& config, const model_shape& widths, std::uint32_t expert,
                          activation_kind activation) {
  return {widths.input_width, config.model.hidden_size_of(expert), widths.output_width, activation,
          config.model.expert_bias};
}

expected<std::unique_ptr<expert_module>> make(const configuration& config, const model_shape& widths,
                                              owner_id owner, bool unset) {
  const auto activation = activation_named(config.model.expert_activation);
  if (!activation) return tl::unexpected(activation.error());
  const auto s = shape_of_expert(config, widths, owner.expert, *activation);
  if (s.in < 1 || s.hidden < 1 || s.out < 1)
    return fail(error_code::usage, "[expert] widths: got " + std::to_string(s.in) + " to "
                                     + std::to_string(s.hidden) + " to " + std::to_string(s.out)
                                     + ", each must be at least 1");
  if (config.model.precision == "f32") return make<float>(config, s, owner, unset);
  if (config.model.precision == "f64") return make<double>(config, s, owner, unset);
  return fail(error_code::usage,
              "[expert] precision: got '" + config.model.precision + "', known are f32, f64");
}

} // namespace

std::uint64_t mlp_state_bytes(const configuration& config, const model_shape& widths, std::uint32_t expert) {
  const auto gated = config.model.expert_activation == "swiglu";
  const auto s = shape_of_expert(config, widths, expert,
                                 gated ? activation_kind::swiglu : activation_kind::relu);
  const auto bytes = config.model.precision == "f64" ? mlp_layout<double>(s).size * sizeof(double)
                                                     : mlp_layout<float>(s).size * sizeof(float);
  return state_begin + bytes * (1 + moments_of(config.optimizer));
}

expected<std::unique_ptr<expert_module>> make_mlp_expert(const configuration& config,
                                                         const model_shape& widths, owner_id owner) {
  return make(config, widths, owner, false);
}

expected<std::unique_ptr<expert_module>> make_unset_mlp_expert(const configuration& config,
                                                               const model_shape& widths, owner_id owner) {
  return make(config, widths, owner, true);
}

} // namespace troupe
