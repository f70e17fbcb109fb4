#include "simulation/ledger_owners.hpp"

#include "simulation/ledger_tensors.hpp"

namespace troupe::simulation {

namespace {

struct tape : expert_tape {
  row_selection input;
  std::vector<word> rows;
  std::vector<word> terms;
};

} // namespace

// -- parameters ---------------------------------------------------------------

template <class Base>
tensor ledger_owner<Base>::save() const {
  return bytes_of(state_);
}

template <class Base>
expected<void> ledger_owner<Base>::load(const tensor& state) {
  if (state.bytes() != sizeof(word))
    return fail(error_code::malformed,
                "[ledger] state: got " + std::to_string(state.bytes()) + " bytes, limit 8");
  state_ = word_in(state);
  return {};
}

template class ledger_owner<expert_module>;
template class ledger_owner<dense_module>;

// -- experts ------------------------------------------------------------------

expert_module::forward_result ledger_expert::forward(const row_selection& input, bool keep) {
  auto kept = std::make_unique<tape>();
  kept->input = input;
  std::vector<word> answers;
  for (auto i = input.begin; i < input.end; ++i) {
    kept->rows.push_back(value_at(input.rows, static_cast<std::size_t>(input.indices.as<std::int32_t>()[i])));
    answers.push_back(expert_answer(owner_, state_, kept->rows.back()));
  }
  if (!keep) kept.reset();
  return {rows_of(answers), std::move(kept)};
}

tensor ledger_expert::backward(expert_tape& kept, const tensor& rows, const tensor& gates,
                               bool input_wanted) {
  auto& t = static_cast<tape&>(kept);
  std::vector<word> below;
  for (auto i = t.input.begin; i < t.input.end; ++i) {
    const auto row = static_cast<std::size_t>(t.input.indices.as<std::int32_t>()[i]);
    t.terms.push_back(
      expert_term(owner_, t.rows[i - t.input.begin], value_at(rows, row), value_at(gates, i)));
    below.push_back(expert_input_gradient_value(state_, t.terms.back()));
  }
  return input_wanted ? rows_of(below) : tensor{};
}

void ledger_expert::fold_tape(gradient_sum& sum, expert_tape& kept) {
  auto& value = static_cast<ledger_sum&>(sum).value;
  for (auto term : static_cast<tape&>(kept).terms) value = append(value, term);
  value = append(value, end_of_microbatch);
}

// -- the dense part -----------------------------------------------------------

tensor ledger_dense::flat() const {
  return pair_of(state_);
}

std::unique_ptr<gradient_sum> ledger_dense::sum_of(const tensor& lane_gradient) {
  auto result = std::make_unique<ledger_sum>();
  result->value = word_of(lane_gradient);
  return result;
}

} // namespace troupe::simulation
