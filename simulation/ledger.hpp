#pragma once

#include "messages/ids.hpp"
#include "messages/plan.hpp"
#include "model/parameter_set.hpp"
#include "simulation/mixing.hpp"

#include <cstdint>
#include <vector>

namespace troupe::simulation {

// The arithmetic of the ledger model. It learns nothing: every value is a hash of what it was made from, so
// that a lost, doubled, re-ordered, stale or misrouted contribution changes everything that comes after it.
// The modules (ledger_owners.hpp, ledger_trunk.hpp) and the sequential reference both compute with these
// functions.

/// state ← state · P + value mod 2⁶⁴: unlike a sum, it sees the order of what is added.
constexpr word append(word state, word value) noexcept {
  return state * 0xd1342543de82ef95u + value;
}

/// What fits into one f64 of a tensor: rows and gates travel as whole numbers below 2⁵³.
constexpr word small(word x) noexcept {
  return x >> 11;
}

/// Where tokens go.
struct routing_rule {
  std::uint32_t experts = 16;
  std::uint32_t slots = 3;
  word dead = 0;      ///< bit e: expert e never gets a row
  double crowd = 0;   ///< chance that a choice falls on the first quarter of the experts
  double dropped = 0; ///< chance that a slot is out of use
};

/// Input of one row of the data set; `small`.
word input_value(word seed, step_kind kind, std::uint64_t epoch, std::uint64_t row);
std::int64_t label_of(word input);

/// A token at the first stage of microbatch `microbatch` of update or evaluation batch `ordinal`.
word token_start(word input, word dense, word ordinal, word microbatch);

/// The row that a token sends to layer `layer`; `small`.
word token_row(word token, word dense, std::uint16_t layer);

/// Experts of a row, by slot; -1: slot not in use. Distinct.
std::vector<std::int32_t> chosen(const routing_rule& rule, word row, std::uint16_t layer);

/// `small`.
word gate_value(word token, word dense, std::uint16_t layer, std::uint32_t slot, std::uint32_t expert);

/// An expert's answer to one row; `small`. Depends on its parameters: a wrong version shows.
word expert_answer(owner_id owner, word state, word row);

/// What one row adds to an expert's gradient.
word expert_term(owner_id owner, word row, word row_gradient, word gate);

/// dL/dx of one row; `small`.
word expert_input_gradient_value(word state, word term);

/// A token after a layer: `slots` are the gate and the answer of every slot in order, as `slot_value` makes
/// them.
word slot_value(word gate, word answer);
constexpr word empty_slot = 0x5eed;
word token_after(word token, word slots);

/// dL/d(token) at the last stage; `share` is the microbatch's share of the step.
word token_gradient(word token, std::int64_t label, double share);

/// The gradient row that a token sends to layer `layer`; `small`.
word token_gradient_row(word gradient, std::uint16_t layer);

/// dL/d(token) below a layer.
word token_gradient_below(word gradient, word slots);

/// What one token adds to the dense gradient.
word dense_term(word token, word gradient);

/// Mean loss of a microbatch whose tokens ended as `tokens` (appended).
double loss_value(word tokens);

/// Parameters before the first step.
word initial_state(word seed, owner_id owner);

/// Marks the end of one microbatch in a gradient sum, so that one without rows counts too.
constexpr word end_of_microbatch = 0xe0e0;

/// Σ g² of a gradient sum: about 2²⁶, with enough digits that the order of addition shows.
double squared_norm_of(word gradient);

/// One optimizer step.
word updated(word state, word gradient, const update& step);

} // namespace troupe::simulation
