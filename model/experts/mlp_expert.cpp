#include "model/experts/mlp_expert.hpp"

#include "messages/check.hpp"
#include "model/experts/row_reader.hpp"
#include "model/kernels/flush_subnormals.hpp"

#include <algorithm>
#include <string>
#include <type_traits>

namespace troupe {

using activation_kind = mlp_shape::activation_kind;

/// Activations of one microbatch, padded: rows × hidden (or out) numbers. Which are there depends on the
/// activation.
template <class Real>
struct mlp_expert<Real>::tape_state : expert_tape {
  row_selection input;
  std::int64_t rows = 0;
  bool backward_done = false;
  buffer_pool::buffer gate;            ///< before the activation: silu, gelu, swiglu
  buffer_pool::buffer up;              ///< swiglu
  buffer_pool::buffer hidden;          ///< after it
  buffer_pool::buffer output_gradient; ///< dL/dy
  buffer_pool::buffer gate_gradient;   ///< dL/d(gate)
  buffer_pool::buffer up_gradient;     ///< swiglu: dL/d(up)
};

template <class Real>
struct mlp_expert<Real>::sum_state : gradient_sum {
  buffer_pool::buffer memory; ///< absent while the sum is 0

  Real* data() const { return memory.as<Real>(); }
};

namespace {

template <class T, class Base>
auto& as_own(Base& object) {
  using pointer = std::conditional_t<std::is_const_v<Base>, const T*, T*>;
  auto* own = dynamic_cast<pointer>(&object);
  TROUPE_CHECK(own != nullptr, "an object of another module");
  return *own;
}

} // namespace

template <class Real>
mlp_expert<Real>::mlp_expert(const mlp_shape& s, const optimizer_options& options)
  : shape_(s), layout_(s), kernels_(best_kernels<Real>()), parameters_(layout_.size),
    optimizer_(options, layout_.size) {
  constexpr auto lanes = panels<Real>::lanes;
  const auto lines = (s.in + lanes - 1) / lanes;
  input_stride_ = (lines | 1) * lanes;
}

/// Equal blocks of at most 96 rows, fewer where rows are long: a block of gathered rows stays in the
/// second-level cache.
template <class Real>
std::int64_t mlp_expert<Real>::rows_per_block(std::int64_t rows) const {
  constexpr std::int64_t block_bytes_max = 512 << 10;
  const auto row_bytes = input_stride_ * static_cast<std::ptrdiff_t>(sizeof(Real));
  const auto most = std::clamp<std::int64_t>(block_bytes_max / row_bytes, 12, 96);
  const auto blocks = std::max<std::int64_t>(1, (rows + most - 1) / most);
  return (rows + blocks - 1) / blocks;
}

// ---- forward -------------------------------------------------------------------------------------------------------

template <class Real>
void mlp_expert<Real>::activate(Real* gate, const Real* up, Real* hidden, std::ptrdiff_t count) const {
  switch (shape_.activation) {
    case activation_kind::relu: return kernels_.relu(gate, hidden, count);
    case activation_kind::silu: return kernels_.silu(gate, hidden, count);
    case activation_kind::gelu: return kernels_.gelu(gate, hidden, count);
    case activation_kind::swiglu: return kernels_.swiglu(gate, up, hidden, count);
  }
}

template <class Real>
double mlp_expert<Real>::flops_per_row() const {
  const auto first = static_cast<double>(shape_.in * shape_.hidden) * (shape_.gated() ? 2 : 1);
  return 2 * (first + static_cast<double>(shape_.hidden * shape_.out));
}

template <class Real>
expert_module::forward_result mlp_expert<Real>::forward(const row_selection& input, bool keep) {
  const flush_subnormals bracket;
  const row_reader<Real> reader(input, shape_.in);
  const auto n = reader.count();
  const auto hidden_width = layout_.first.n_padded();
  const auto out_width = layout_.second.n_padded();
  const auto* p = parameters_.data();
  const auto bias = [&](std::size_t at, Real* x, std::int64_t rows, std::ptrdiff_t width) {
    if (at != layout_.absent) kernels_.add_bias(x, p + at, rows, width);
  };

  auto tape = std::make_unique<tape_state>();
  tape->input = input;
  tape->rows = n;
  tape->hidden = buffer_pool::acquire<Real>(n * hidden_width);
  if (shape_.activation != activation_kind::relu) tape->gate = buffer_pool::acquire<Real>(n * hidden_width);
  if (shape_.gated()) tape->up = buffer_pool::acquire<Real>(n * hidden_width);
  auto output = buffer_pool::make_tensor(dtype_of<Real>(), {n, shape_.out});

  const auto block = rows_per_block(n);
  auto* x = thread_block<Real>(block * (input_stride_ + out_width));
  auto* y = x + block * input_stride_;
  for (std::int64_t first = 0; first < n; first += block) {
    const auto rows = std::min(block, n - first);
    const auto at = first * hidden_width;
    auto* hidden = tape->hidden.template as<Real>() + at;
    auto* gate = tape->gate ? tape->gate.template as<Real>() + at : hidden;
    auto* up = tape->up ? tape->up.template as<Real>() + at : nullptr;
    reader.read(first, rows, x, input_stride_);
    kernels_.multiply({x, input_stride_}, p + layout_.w1, {gate, hidden_width}, rows, shape_.in, hidden_width,
                      false);
    bias(layout_.b1, gate, rows, hidden_width);
    if (up != nullptr) {
      kernels_.multiply({x, input_stride_}, p + layout_.up, {up, hidden_width}, rows, shape_.in, hidden_width,
                        false);
      bias(layout_.up_bias, up, rows, hidden_width);
    }
    activate(gate, up, hidden, rows * hidden_width);
    kernels_.multiply({hidden, hidden_width}, p + layout_.w2, {y, out_width}, rows, shape_.hidden, out_width,
                      false);
    bias(layout_.b2, y, rows, out_width);
    auto* to = output.template mutable_as<Real>().data() + first * shape_.out;
    for (std::int64_t i = 0; i < rows; ++i) std::copy_n(y + i * out_width, shape_.out, to + i * shape_.out);
  }
  if (!keep) tape.reset();
  return {std::move(output), std::move(tape)};
}

// ---- backward ------------------------------------------------------------------------------------------------------

/// dL/dy of each row: gate · row of the bundle.
template <class Real>
void mlp_expert<Real>::gather_gradient(tape_state& tape, const tensor& rows, const tensor& gates) const {
  const auto width = layout_.second.n_padded();
  if (tape.rows == 0) return;
  TROUPE_CHECK(rows.row_elements() == shape_.out, "gradient rows: got " + to_string(rows.dims())
                                                    + ", expected width " + std::to_string(shape_.out));
  const auto values = rows.template as<Real>();
  const auto weights = gates.template as<Real>();
  const auto indices = tape.input.indices.template as<std::int32_t>();
  TROUPE_CHECK(tape.input.end <= weights.size(), "gates: got " + std::to_string(weights.size())
                                                   + ", expected " + std::to_string(indices.size()));
  auto* to = tape.output_gradient.template as<Real>();
  for (std::uint32_t i = tape.input.begin; i < tape.input.end; ++i, to += width) {
    TROUPE_CHECK(indices[i] >= 0 && indices[i] < rows.rows(), "row index: got " + std::to_string(indices[i])
                                                                + " of " + std::to_string(rows.rows())
                                                                + " gradient rows");
    const auto* from = values.data() + indices[i] * shape_.out;
    for (std::int64_t j = 0; j < shape_.out; ++j) to[j] = weights[i] * from[j];
    std::fill(to + shape_.out, to + width, Real{0});
  }
}

template <class Real>
tensor mlp_expert<Real>::backward(expert_tape& kept, const tensor& rows, const tensor& gates,
                                  bool input_wanted) {
  const flush_subnormals bracket;
  auto& tape = as_own<tape_state>(kept);
  TROUPE_CHECK(!tape.backward_done, "backward was called before");
  const auto n = tape.rows;
  const auto hidden_width = layout_.first.n_padded();
  const auto out_width = layout_.second.n_padded();
  if (!second_transposed_valid_) {
    if (second_transposed_.size() == 0)
      second_transposed_ = aligned_buffer<Real>(panels<Real>{shape_.out, shape_.hidden}.size());
    transpose_panels(layout_.second, parameters_.data() + layout_.w2, second_transposed_.data());
    second_transposed_valid_ = true;
  }
  tape.output_gradient = buffer_pool::acquire<Real>(n * out_width);
  tape.gate_gradient = buffer_pool::acquire<Real>(n * hidden_width);
  gather_gradient(tape, rows, gates);
  auto* dy = tape.output_gradient.template as<Real>();
  auto* d = tape.gate_gradient.template as<Real>();
  const auto count = n * hidden_width;
  if (shape_.gated()) {
    tape.up_gradient = buffer_pool::acquire<Real>(count);
    d = tape.up_gradient.template as<Real>();
  }
  kernels_.multiply({dy, out_width}, second_transposed_.data(), {d, hidden_width}, n, shape_.out,
                    hidden_width, false);
  const auto* gate = tape.gate.template as<Real>();
  switch (shape_.activation) {
    case activation_kind::relu: kernels_.relu_backward(tape.hidden.template as<Real>(), d, count); break;
    case activation_kind::silu: kernels_.silu_backward(gate, d, count); break;
    case activation_kind::gelu: kernels_.gelu_backward(gate, d, count); break;
    case activation_kind::swiglu:
      kernels_.swiglu_backward(gate, tape.up.template as<Real>(), d, tape.gate_gradient.template as<Real>(),
                               count);
      break;
  }
  tape.backward_done = true;
  return input_wanted ? input_gradient(tape) : tensor{};
}

template <class Real>
tensor mlp_expert<Real>::input_gradient(const tape_state& tape) {
  const panels<Real> transposed{shape_.hidden, shape_.in};
  if (!first_transposed_valid_) {
    if (first_transposed_.size() == 0)
      first_transposed_ = aligned_buffer<Real>(transposed.size() * (shape_.gated() ? 2 : 1));
    transpose_panels(layout_.first, parameters_.data() + layout_.w1, first_transposed_.data());
    if (shape_.gated())
      transpose_panels(layout_.first, parameters_.data() + layout_.up,
                       first_transposed_.data() + transposed.size());
    first_transposed_valid_ = true;
  }
  const auto n = tape.rows;
  const auto hidden_width = layout_.first.n_padded();
  const auto in_width = transposed.n_padded();
  auto result = buffer_pool::make_tensor(dtype_of<Real>(), {n, shape_.in});
  auto* to = result.template mutable_as<Real>().data();
  const auto block = rows_per_block(n);
  auto* dx = thread_block<Real>(block * in_width);
  for (std::int64_t first = 0; first < n; first += block) {
    const auto rows = std::min(block, n - first);
    const auto* d = tape.gate_gradient.template as<Real>() + first * hidden_width;
    kernels_.multiply({d, hidden_width}, first_transposed_.data(), {dx, in_width}, rows, shape_.hidden,
                      in_width, false);
    if (shape_.gated()) {
      d = tape.up_gradient.template as<Real>() + first * hidden_width;
      kernels_.multiply({d, hidden_width}, first_transposed_.data() + transposed.size(), {dx, in_width}, rows,
                        shape_.hidden, in_width, true);
    }
    for (std::int64_t i = 0; i < rows; ++i)
      std::copy_n(dx + i * in_width, shape_.in, to + (first + i) * shape_.in);
  }
  return result;
}

// ---- gradient sums -------------------------------------------------------------------------------------------------

template <class Real>
std::unique_ptr<gradient_sum> mlp_expert<Real>::new_sum() {
  return std::make_unique<sum_state>();
}

/// Adds rows [first, first + count) of a tape; x: those rows, gathered. `fresh`: the sum holds nothing yet.
template <class Real>
void mlp_expert<Real>::fold_block(sum_state& sum, const tape_state& tape, std::int64_t first,
                                  std::int64_t count, const Real* x, bool fresh) {
  const auto hidden_width = layout_.first.n_padded();
  const auto out_width = layout_.second.n_padded();
  auto* g = sum.data();
  const auto* dy = tape.output_gradient.template as<Real>() + first * out_width;
  const auto* hidden = tape.hidden.template as<Real>() + first * hidden_width;
  const auto weight = [&](std::size_t at, std::size_t bias_at, const buffer_pool::buffer& gradient) {
    const auto* d = gradient.template as<Real>() + first * hidden_width;
    kernels_.multiply_transposed({x, input_stride_}, {d, hidden_width}, g + at, count, shape_.in,
                                 hidden_width, !fresh);
    if (bias_at != layout_.absent) kernels_.add_rows(d, g + bias_at, count, hidden_width);
  };
  weight(layout_.w1, layout_.b1, tape.gate_gradient);
  if (shape_.gated()) weight(layout_.up, layout_.up_bias, tape.up_gradient);
  kernels_.multiply_transposed({hidden, hidden_width}, {dy, out_width}, g + layout_.w2, count, shape_.hidden,
                               out_width, !fresh);
  if (layout_.b2 != layout_.absent) kernels_.add_rows(dy, g + layout_.b2, count, out_width);
}

template <class Real>
void mlp_expert<Real>::fold_tape(gradient_sum& into, expert_tape& kept) {
  const flush_subnormals bracket;
  auto& sum = as_own<sum_state>(into);
  auto& tape = as_own<tape_state>(kept);
  TROUPE_CHECK(tape.backward_done, "fold_tape was called before backward");
  if (tape.rows == 0) return;
  bool fresh = !sum.memory;
  if (fresh) {
    sum.memory = buffer_pool::acquire<Real>(static_cast<std::ptrdiff_t>(layout_.size));
    for (const auto& e : layout_.entries)
      if (e.dims.rank() == 1) std::fill_n(sum.data() + e.offset, e.where.size(), Real{0});
  }
  const row_reader<Real> reader(tape.input, shape_.in);
  const auto block = rows_per_block(tape.rows);
  auto* x = thread_block<Real>(block * input_stride_);
  for (std::int64_t first = 0; first < tape.rows; first += block) {
    const auto rows = std::min(block, tape.rows - first);
    reader.read(first, rows, x, input_stride_);
    fold_block(sum, tape, first, rows, x, fresh);
    fresh = false;
  }
}

template <class Real>
void mlp_expert<Real>::fold(gradient_sum& into, const gradient_sum& other) {
  const flush_subnormals bracket;
  auto& sum = as_own<sum_state>(into);
  const auto& term = as_own<sum_state>(other);
  if (!term.memory) return;
  const auto count = static_cast<std::ptrdiff_t>(layout_.size);
  if (sum.memory) return kernels_.add(sum.data(), term.data(), count);
  sum.memory = buffer_pool::acquire<Real>(count);
  std::copy_n(term.data(), count, sum.data());
}

template <class Real>
double mlp_expert<Real>::squared_norm(const gradient_sum& gradient) {
  const auto& sum = as_own<sum_state>(gradient);
  return sum.memory ? kernels_.squared_norm(sum.data(), static_cast<std::ptrdiff_t>(layout_.size)) : 0;
}

template <class Real>
void mlp_expert<Real>::apply(const gradient_sum& gradient, const update& step) {
  auto memory = as_own<sum_state>(gradient).memory;
  if (!memory) {
    memory = buffer_pool::acquire<Real>(static_cast<std::ptrdiff_t>(layout_.size));
    std::fill_n(memory.template as<Real>(), layout_.size, Real{0});
  }
  optimizer_.step(parameters_.span(), {memory.template as<Real>(), layout_.size}, step);
  parameters_changed();
}

template <class Real>
void mlp_expert<Real>::parameters_changed() {
  second_transposed_valid_ = false;
  first_transposed_valid_ = false;
}

template class mlp_expert<float>;
template class mlp_expert<double>;

} // namespace troupe
