#include "simulation/ledger.hpp"

#include <algorithm>

namespace troupe::simulation {

namespace {

/// Different purposes must not hash alike.
enum purpose : word {
  input,
  label,
  start,
  row,
  choice,
  gate,
  output,
  term,
  dx,
  slot,
  after,
  loss,
  back,
  back_row,
  below,
  dense,
  state,
  norm,
  step
};

word id_of(owner_id owner) {
  return std::hash<owner_id>{}(owner);
}

} // namespace

word input_value(word seed, step_kind kind, std::uint64_t epoch, std::uint64_t index) {
  return small(mix(input, seed, static_cast<word>(kind), epoch, index));
}

std::int64_t label_of(word value) {
  return static_cast<std::int64_t>(mix(label, value) % 10);
}

word token_start(word value, word parameters, word ordinal, word microbatch) {
  return mix(start, value, parameters, ordinal, microbatch);
}

word token_row(word token, word parameters, std::uint16_t layer) {
  return small(mix(row, token, parameters, word{layer}));
}

std::vector<std::int32_t> chosen(const routing_rule& rule, word value, std::uint16_t layer) {
  dice draw(mix(choice, value, word{layer}));
  std::vector<std::int32_t> result;
  while (result.size() < rule.slots) {
    const auto few = draw.chance(rule.crowd) ? std::max(rule.experts / 4, 1u) : rule.experts;
    const auto e = static_cast<std::int32_t>(draw.below(few));
    if ((rule.dead >> e & 1) == 0 && std::ranges::find(result, e) == result.end()) result.push_back(e);
  }
  for (auto& e : result)
    if (draw.chance(rule.dropped)) e = -1;
  return result;
}

word gate_value(word token, word parameters, std::uint16_t layer, std::uint32_t slot_number,
                std::uint32_t expert) {
  return small(mix(gate, token, parameters, word{layer}, word{slot_number}, word{expert}));
}

word expert_answer(owner_id owner, word parameters, word value) {
  return small(mix(output, id_of(owner), parameters, value));
}

word expert_term(owner_id owner, word value, word row_gradient, word gate_of_row) {
  return mix(term, id_of(owner), value, row_gradient, gate_of_row);
}

word expert_input_gradient_value(word parameters, word value) {
  return small(mix(dx, parameters, value));
}

word slot_value(word gate_of_slot, word answer) {
  return mix(slot, gate_of_slot, answer);
}

word token_after(word token, word slots) {
  return mix(after, token, slots);
}

word token_gradient(word token, std::int64_t label_of_token, double share) {
  return mix(back, token, static_cast<word>(label_of_token), bits_of(share));
}

word token_gradient_row(word gradient, std::uint16_t layer) {
  return small(mix(back_row, gradient, word{layer}));
}

word token_gradient_below(word gradient, word slots) {
  return mix(below, gradient, slots);
}

word dense_term(word token, word gradient) {
  return mix(dense, token, gradient);
}

double loss_value(word tokens) {
  return static_cast<double>(small(mix(loss, tokens))) * 0x1p-53;
}

word initial_state(word seed, owner_id owner) {
  return mix(state, seed, id_of(owner));
}

double squared_norm_of(word gradient) {
  return static_cast<double>(small(mix(norm, gradient))) * 0x1p-27;
}

word updated(word parameters, word gradient, const update& how) {
  return append(parameters, mix(step, gradient, bits_of(how.learning_rate), bits_of(how.scale), how.index));
}

} // namespace troupe::simulation
