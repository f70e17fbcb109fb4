#include "model/torch/torch_expert.hpp"

#include "model/experts/row_reader.hpp"
#include "model/parameters/init.hpp"
#include "model/torch/torch_error.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cstring>

namespace troupe {

/// One microbatch: the graph until `backward`, the gradients after it.
struct torch_expert::tape_state : expert_tape {
  at::Tensor input;
  at::Tensor output;
  tensor indices;
  std::uint32_t begin = 0;
  at::Tensor gradient; ///< flat; undefined if there were no rows
};

struct torch_expert::sum_state : gradient_sum {
  at::Tensor flat;
};

namespace {

at::ScalarType scalar_of(bool wide) {
  return wide ? at::kDouble : at::kFloat;
}

template <class Real>
at::Tensor gather(const row_selection& input, std::int64_t width, at::ScalarType type) {
  row_reader<Real> reader(input, width);
  auto x = at::empty({reader.count(), width}, type);
  reader.read(0, reader.count(), x.template data_ptr<Real>(), width);
  return x;
}

tensor as_message(const at::Tensor& t, std::int64_t width) {
  const auto plain = t.detach().contiguous();
  auto result = tensor::allocate(plain.scalar_type() == at::kDouble ? dtype::f64 : dtype::f32,
                                 {plain.size(0), width});
  std::memcpy(const_cast<std::byte*>(result.data().data()), plain.data_ptr(), result.bytes());
  return result;
}

shape dims_of(const at::Tensor& t) {
  return shape(std::span<const std::int64_t>(t.sizes().data(), t.sizes().size()));
}

at::Tensor as_torch(const tensor& t, at::ScalarType type) {
  return at::from_blob(const_cast<std::byte*>(t.data().data()),
                       t.dims().dims().size() == 1 ? at::IntArrayRef{t.rows()}
                                                   : at::IntArrayRef{t.rows(), t.row_elements()},
                       type);
}

} // namespace

torch_expert::torch_expert(const configuration& config, const model_shape& widths, owner_id owner)
  : widths_(widths), hidden_(config.model.hidden_size_of(owner.expert)), seed_(config.schedule.seed),
    owner_(owner), wide_(config.model.precision == "f64"), options_(config.optimizer) {
  // nop
}

torch_expert::~torch_expert() = default;

void torch_expert::declare(const std::string& name, std::vector<std::int64_t> dims, std::int64_t fan_in) {
  c10::InferenceMode plain(false);
  auto value = at::empty(dims, scalar_of(wide_));
  const auto count = static_cast<std::size_t>(value.numel());
  if (wide_)
    init_uniform<double>({value.data_ptr<double>(), count}, fan_in, seed_, owner_.layer, owner_.expert, name);
  else
    init_uniform<float>({value.data_ptr<float>(), count}, fan_in, seed_, owner_.layer, owner_.expert, name);
  value.set_requires_grad(true);
  parameters_.push_back({name, value});
  numbers_ += value.numel();
}

const at::Tensor& torch_expert::get(const std::string& name) const {
  const auto found = std::ranges::find(parameters_, name, &parameter::name);
  if (found == parameters_.end())
    throw run_failure({error_code::internal, "[" + label() + "] parameter: got '" + name
                                               + "', limit those that the constructor declares"});
  return found->value;
}

std::string torch_expert::label() const {
  return "expert " + std::to_string(owner_.expert);
}

at::Tensor torch_expert::computed(const at::Tensor& x) const {
  auto y = compute(x);
  const shape wanted{x.size(0), out()};
  if (y.defined() && y.scalar_type() == x.scalar_type() && y.sizes() == at::IntArrayRef{x.size(0), out()})
    return y;
  const auto got = y.defined() ? std::string(c10::toString(y.scalar_type())) + " " + c10::str(y.sizes())
                               : std::string("no tensor");
  throw run_failure({error_code::internal, "[" + label() + "] result of compute: got " + got + ", limit "
                                             + c10::toString(x.scalar_type()) + " " + to_string(wanted)});
}

double torch_expert::flops_per_row() const {
  return 2.0 * static_cast<double>(numbers_);
}

expert_module::forward_result torch_expert::forward(const row_selection& input, bool keep) {
  return fail_run_on_torch_error(label(), [&] {
    c10::InferenceMode plain(false);
    at::AutoGradMode graph(keep);
    auto tape = std::make_unique<tape_state>();
    tape->indices = input.indices;
    tape->begin = input.begin;
    if (input.begin == input.end) {
      const auto type = wide_ ? dtype::f64 : dtype::f32;
      return forward_result{tensor::zeros(type, {0, out()}), keep ? std::move(tape) : nullptr};
    }
    tape->input = wide_ ? gather<double>(input, in(), at::kDouble) : gather<float>(input, in(), at::kFloat);
    if (keep) tape->input.set_requires_grad(true);
    tape->output = computed(tape->input);
    auto output = as_message(tape->output, out());
    return forward_result{std::move(output), keep ? std::move(tape) : nullptr};
  });
}

tensor torch_expert::backward(expert_tape& tape, const tensor& rows, const tensor& gates, bool input_wanted) {
  return fail_run_on_torch_error(label(), [&] { // LibTorch's, but of what `compute` did
    c10::InferenceMode plain(false);
    auto& t = static_cast<tape_state&>(tape);
    if (!t.output.defined())
      return input_wanted ? tensor::zeros(wide_ ? dtype::f64 : dtype::f32, {0, in()}) : tensor{};
    const auto type = scalar_of(wide_);
    const auto n = t.output.size(0);
    const auto mine = at::from_blob(const_cast<std::int32_t*>(t.indices.as<std::int32_t>().data()) + t.begin,
                                    {n}, at::kInt);
    const auto gate = as_torch(gates, type).narrow(0, t.begin, n);
    const auto dy = as_torch(rows, type).index_select(0, mine).mul(gate.unsqueeze(1));
    torch::autograd::variable_list inputs{t.input};
    for (auto& p : parameters_) inputs.push_back(p.value);
    auto found = torch::autograd::grad(torch::autograd::variable_list{t.output}, inputs,
                                       torch::autograd::variable_list{dy}, false, false, true);
    std::vector<at::Tensor> parts;
    for (std::size_t i = 0; i < parameters_.size(); ++i)
      parts.push_back(found[i + 1].defined() ? found[i + 1].reshape({-1})
                                             : at::zeros({parameters_[i].value.numel()}, type));
    t.gradient = at::cat(parts);
    t.output = at::Tensor();
    return input_wanted ? as_message(found[0], in()) : tensor{};
  });
}

void torch_expert::fold_tape(gradient_sum& sum, expert_tape& tape) {
  auto& t = static_cast<tape_state&>(tape);
  if (!t.gradient.defined()) return;
  c10::InferenceMode plain(false);
  at::NoGradGuard no_graph;
  static_cast<sum_state&>(sum).flat.add_(t.gradient);
}

std::unique_ptr<gradient_sum> torch_expert::new_sum() {
  c10::InferenceMode plain(false);
  auto sum = std::make_unique<sum_state>();
  sum->flat = at::zeros({numbers_}, scalar_of(wide_));
  return sum;
}

void torch_expert::fold(gradient_sum& into, const gradient_sum& other) {
  c10::InferenceMode plain(false);
  at::NoGradGuard no_graph;
  static_cast<sum_state&>(into).flat.add_(static_cast<const sum_state&>(other).flat);
}

double torch_expert::squared_norm(const gradient_sum& gradient) {
  c10::InferenceMode plain(false);
  return static_cast<const sum_state&>(gradient).flat.to(at::kDouble).square().sum().item<double>();
}

namespace {

/// The optimizer works on one flat buffer: parameters are copied in and out.
template <class Real, class Parameters>
void step(std::unique_ptr<flat_optimizer<Real>>& optimizer, const optimizer_options& options,
          Parameters& parameters, const at::Tensor& gradient, const update& u) {
  const auto numbers = static_cast<std::size_t>(gradient.numel());
  if (optimizer == nullptr) optimizer = std::make_unique<flat_optimizer<Real>>(options, numbers);
  aligned_buffer<Real> values(numbers);
  aligned_buffer<Real> slope(numbers);
  std::copy_n(gradient.template data_ptr<Real>(), numbers, slope.data());
  auto* at = values.data();
  for (auto& p : parameters) at = std::copy_n(p.value.template data_ptr<Real>(), p.value.numel(), at);
  optimizer->step(values.span(), slope.span(), u);
  const auto* from = values.data();
  for (auto& p : parameters) {
    std::copy_n(from, p.value.numel(), p.value.template data_ptr<Real>());
    from += p.value.numel();
  }
}

} // namespace

void torch_expert::apply(const gradient_sum& gradient, const update& u) {
  const auto& flat = static_cast<const sum_state&>(gradient).flat;
  if (wide_)
    step<double>(optimizer_f64_, options_, parameters_, flat, u);
  else
    step<float>(optimizer_f32_, options_, parameters_, flat, u);
}

namespace {

/// Parameters one after the other, then the moments (none before the first step).
template <class Real, class Parameters>
tensor save_all(const std::unique_ptr<flat_optimizer<Real>>& optimizer, const Parameters& parameters,
                std::int64_t numbers) {
  const auto moments = optimizer ? optimizer->saved_bytes() : 0;
  auto result = tensor::allocate(
    dtype::u8, {static_cast<std::int64_t>(static_cast<std::size_t>(numbers) * sizeof(Real) + moments)});
  auto* at = reinterpret_cast<std::byte*>(result.mutable_as<std::uint8_t>().data());
  for (auto& p : parameters) {
    std::memcpy(at, p.value.data_ptr(), p.value.nbytes());
    at += p.value.nbytes();
  }
  if (optimizer) optimizer->save({at, moments});
  return result;
}

template <class Real, class Parameters>
expected<void> load_all(std::unique_ptr<flat_optimizer<Real>>& optimizer, const optimizer_options& options,
                        Parameters& parameters, std::int64_t numbers, const tensor& state) {
  const auto head = static_cast<std::size_t>(numbers) * sizeof(Real);
  auto fresh = std::make_unique<flat_optimizer<Real>>(options, static_cast<std::size_t>(numbers));
  if (state.type() != dtype::u8 || (state.bytes() != head && state.bytes() != head + fresh->saved_bytes()))
    return fail(error_code::malformed, "[expert] state: got " + std::to_string(state.bytes())
                                         + " bytes, expected " + std::to_string(head) + " or "
                                         + std::to_string(head + fresh->saved_bytes()));
  if (state.bytes() > head)
    if (auto ok = fresh->load(state.data().bytes().subspan(head)); !ok) return ok;
  optimizer = std::move(fresh);
  const auto* from = state.data().data();
  for (auto& p : parameters) {
    std::memcpy(p.value.data_ptr(), from, p.value.nbytes());
    from += p.value.nbytes();
  }
  return {};
}

} // namespace

tensor torch_expert::save() const {
  return wide_ ? save_all(optimizer_f64_, parameters_, numbers_)
               : save_all(optimizer_f32_, parameters_, numbers_);
}

expected<void> torch_expert::load(const tensor& state) {
  return wide_ ? load_all(optimizer_f64_, options_, parameters_, numbers_, state)
               : load_all(optimizer_f32_, options_, parameters_, numbers_, state);
}

std::vector<named_tensor> torch_expert::parameters() const {
  std::vector<named_tensor> result;
  for (auto& p : parameters_) {
    const std::span bytes(static_cast<const std::byte*>(p.value.data_ptr()), p.value.nbytes());
    result.push_back(
      {p.name, tensor(wide_ ? dtype::f64 : dtype::f32, dims_of(p.value), blob::copy_of(bytes))});
  }
  return result;
}

expected<void> torch_expert::set_parameters(std::span<const named_tensor> values) {
  const auto type = wide_ ? dtype::f64 : dtype::f32;
  for (auto& p : parameters_) {
    const auto given = std::ranges::find(values, p.name, &named_tensor::name);
    if (given == values.end())
      return fail(error_code::malformed,
                  "[expert] parameter " + p.name + ": missing; give every parameter of the expert");
    const auto& value = given->value;
    if (!value.present() || value.type() != type || !(value.dims() == dims_of(p.value)))
      return fail(error_code::malformed,
                  "[expert] parameter " + p.name + ": got "
                    + (value.present() ? to_string(value.type()) + " " + to_string(value.dims()) : "none")
                    + ", expected " + to_string(type) + " " + to_string(dims_of(p.value)));
  }
  if (values.size() != parameters_.size())
    return fail(error_code::malformed, "[expert] parameters: got " + std::to_string(values.size())
                                         + ", expected " + std::to_string(parameters_.size())
                                         + " with distinct, known names");
  for (auto& p : parameters_) {
    const auto given = std::ranges::find(values, p.name, &named_tensor::name);
    std::memcpy(p.value.data_ptr(), given->value.data().data(), p.value.nbytes());
  }
  optimizer_f32_.reset();
  optimizer_f64_.reset();
  return {};
}

} // namespace troupe
