#include "simulation/stale.hpp"

#include "messages/encoding.hpp"

#include <algorithm>

namespace troupe::simulation {

namespace {

/// The same shape, other values.
tensor other(const tensor& t) {
  if (!t.present()) return t;
  auto result = tensor::allocate(t.type(), t.dims());
  if (t.type() == dtype::f64)
    std::ranges::transform(t.as<double>(), result.mutable_as<double>().begin(),
                           [](double x) { return x + 1; });
  else if (t.type() == dtype::u8)
    std::ranges::transform(t.as<std::uint8_t>(), result.mutable_as<std::uint8_t>().begin(),
                           [](std::uint8_t x) { return static_cast<std::uint8_t>(x ^ 1); });
  else
    return t; // indices and labels
  return result;
}

void change(std::vector<owner_tensor>& values) {
  for (auto& v : values) v.value = other(v.value);
}

/// As if the experts had been placed one further.
void change(std::vector<node_id>& placement) {
  if (!placement.empty()) std::ranges::rotate(placement, placement.begin() + 1);
}

template <class M>
void change_contents(M& m) {
  if constexpr (requires { m.rows.present(); }) m.rows = other(m.rows);
  if constexpr (requires { m.gates; }) m.gates = other(m.gates);
  if constexpr (requires { m.inputs; }) m.inputs = other(m.inputs);
  if constexpr (requires { m.value; }) m.value = other(m.value);
  if constexpr (requires { m.state; }) m.state = other(m.state);
  if constexpr (requires { m.outputs; }) change(m.outputs);
  if constexpr (requires { m.gradients; }) change(m.gradients);
  if constexpr (requires { m.placement; }) change(m.placement);
  if constexpr (requires { m.permission->rows; })
    if (m.permission) {
      auto p = *m.permission;
      p.term = m.id.term;
      p.step = m.id.step;
      change_contents(p);
      m.permission = std::make_shared<const plan>(std::move(p));
    }
  if constexpr (requires { m.done->owners; })
    if (m.done) m.done->term = m.id.term;
  if constexpr (requires { m.scale; }) m.scale *= 0.5;
  if constexpr (requires { m.learning_rate; }) m.learning_rate += 1;
  if constexpr (requires { m.norms; })
    for (auto& n : m.norms) n.squared += 1;
  if constexpr (requires {
                  m.microbatches;
                  m.phases;
                })
    for (auto& x : m.microbatches) x.loss += 1;
}

} // namespace

std::optional<message> stale_twin(const message& m, dice& draw) {
  return std::visit(
    [&](auto copy) -> std::optional<message> {
      if constexpr (wire_message<decltype(copy)>) {
        if constexpr (requires { copy.id.term; })
          --copy.id.term.incarnation;
        else
          --copy.term.incarnation;
        if constexpr (requires { copy.step; }) copy.step += draw.below(2);
        change_contents(copy);
        return copy;
      } else {
        return std::nullopt;
      }
    },
    m);
}

} // namespace troupe::simulation
