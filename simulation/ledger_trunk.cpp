#include "simulation/ledger_trunk.hpp"

#include "simulation/ledger_tensors.hpp"

namespace troupe::simulation {

namespace {

/// One layer's routing, kept for the way back.
struct layer_tape {
  tensor experts; ///< [T, k]
  tensor gates;   ///< [T, k]
};

struct tape : trunk_tape {
  microbatch_context context;
  word dense = 0;
  std::vector<word> tokens;
  std::vector<std::int64_t> labels;
  std::vector<word> gradients;
  std::vector<layer_tape> layers;
};

/// The row that slot `i` ([T, k], row-major) got.
word answer_at(const slot_rows& rows, const tensor& experts, std::size_t i) {
  const auto expert = static_cast<std::size_t>(experts.as<std::int32_t>()[i]);
  return value_at(rows.parts[expert], static_cast<std::size_t>(rows.positions.as<std::int32_t>()[i]));
}

} // namespace

std::unique_ptr<trunk_tape> ledger_trunk::begin(const microbatch_context& context, const batch& data,
                                                const tensor& dense) {
  auto t = std::make_unique<tape>();
  t->context = context;
  t->dense = word_of(dense);
  t->layers.resize(layers_);
  for (std::size_t i = 0; i < static_cast<std::size_t>(data.inputs.rows()); ++i)
    t->tokens.push_back(
      token_start(value_at(data.inputs, i), t->dense, context.ordinal, word{context.microbatch}));
  const auto labels = data.labels.as<std::int64_t>();
  t->labels.assign(labels.begin(), labels.end());
  return t;
}

routed ledger_trunk::forward(trunk_tape& kept, std::uint16_t layer) {
  auto& t = static_cast<tape&>(kept);
  const shape dims{static_cast<std::int64_t>(t.tokens.size()), rule_.slots};
  auto experts = tensor::allocate(dtype::i32, dims);
  auto gates = tensor::zeros(dtype::f64, dims);
  std::vector<word> rows;
  for (std::size_t i = 0, slot = 0; i < t.tokens.size(); ++i) {
    rows.push_back(token_row(t.tokens[i], t.dense, layer));
    const auto choice = chosen(rule_, rows.back(), layer);
    for (std::uint32_t s = 0; s < rule_.slots; ++s, ++slot) {
      experts.mutable_as<std::int32_t>()[slot] = choice[s];
      if (choice[s] >= 0)
        gates.mutable_as<double>()[slot] = static_cast<double>(
          gate_value(t.tokens[i], t.dense, layer, s, static_cast<std::uint32_t>(choice[s])));
    }
  }
  t.layers[layer] = {experts, gates};
  return {rows_of(rows), experts};
}

void ledger_trunk::combine(trunk_tape& kept, std::uint16_t layer, slot_rows outputs) {
  auto& t = static_cast<tape&>(kept);
  const auto& [experts, gates] = t.layers[layer];
  for (std::size_t i = 0, slot = 0; i < t.tokens.size(); ++i) {
    word slots = layer;
    for (std::uint32_t s = 0; s < rule_.slots; ++s, ++slot)
      slots = append(slots, experts.as<std::int32_t>()[slot] < 0
                              ? empty_slot
                              : slot_value(value_at(gates, slot), answer_at(outputs, experts, slot)));
    t.tokens[i] = token_after(t.tokens[i], slots);
  }
}

microbatch_report ledger_trunk::loss(trunk_tape& kept) {
  auto& t = static_cast<tape&>(kept);
  microbatch_report report;
  word all = 0;
  for (std::size_t i = 0; i < t.tokens.size(); ++i) {
    all = append(all, t.tokens[i]);
    report.correct += static_cast<double>(t.tokens[i] & 1);
    t.gradients.push_back(token_gradient(t.tokens[i], t.labels[i], t.context.share));
  }
  report.loss = loss_value(all);
  for (auto& layer : t.layers) {
    report.layers.push_back({std::vector<std::uint64_t>(rule_.experts), {}});
    for (auto e : layer.experts.as<std::int32_t>())
      if (e >= 0) ++report.layers.back().expert_rows[static_cast<std::size_t>(e)];
  }
  return report;
}

output_gradient ledger_trunk::backward(trunk_tape& kept, std::uint16_t layer) {
  auto& t = static_cast<tape&>(kept);
  std::vector<word> rows;
  for (auto g : t.gradients) rows.push_back(token_gradient_row(g, layer));
  return {rows_of(rows), t.layers[layer].gates};
}

void ledger_trunk::input_gradient(trunk_tape& kept, std::uint16_t layer, slot_rows gradients) {
  auto& t = static_cast<tape&>(kept);
  const auto& experts = t.layers[layer].experts;
  for (std::size_t i = 0, slot = 0; i < t.gradients.size(); ++i) {
    word slots = layer;
    for (std::uint32_t s = 0; s < rule_.slots; ++s, ++slot)
      slots = append(slots,
                     experts.as<std::int32_t>()[slot] < 0 ? empty_slot : answer_at(gradients, experts, slot));
    t.gradients[i] = token_gradient_below(t.gradients[i], slots);
  }
}

tensor ledger_trunk::dense_gradient(trunk_tape& kept) {
  auto& t = static_cast<tape&>(kept);
  word sum = 0;
  for (std::size_t i = 0; i < t.tokens.size(); ++i)
    sum = append(sum, dense_term(t.tokens[i], t.gradients[i]));
  return pair_of(sum);
}

void ledger_trunk::fold(tensor& into, const tensor& term) {
  into = pair_of(append(word_of(into), word_of(term)));
}

samples ledger_data::read(step_kind kind, std::uint64_t epoch, std::uint64_t first,
                          std::uint64_t count) const {
  std::vector<word> inputs;
  std::vector<std::int64_t> labels;
  std::vector<std::int64_t> ids;
  for (auto i = first; i < first + count; ++i) {
    inputs.push_back(input_value(seed_, kind, epoch, i));
    labels.push_back(label_of(inputs.back()));
    ids.push_back(static_cast<std::int64_t>(i));
  }
  const shape column{static_cast<std::int64_t>(count)};
  return {rows_of(inputs), tensor::of<std::int64_t>(column, labels), tensor::of<std::int64_t>(column, ids)};
}

} // namespace troupe::simulation
