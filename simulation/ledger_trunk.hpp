#pragma once

#include "model/data_source.hpp"
#include "model/trunk.hpp"
#include "simulation/ledger.hpp"

namespace troupe::simulation {

/// The trunk of the ledger model: tokens are words, every stage hashes what it gets.
class ledger_trunk : public trunk_module {
public:
  /// `learn_inputs`: the lowest layer's input gradients are wanted too.
  ledger_trunk(std::uint16_t layers, routing_rule rule, bool learn_inputs)
    : layers_(layers), rule_(rule), learn_inputs_(learn_inputs) {
    // nop
  }

  std::uint16_t layers() const override { return layers_; }
  double flops_per_row() const override { return 1; }
  bool input_gradient_wanted(std::uint16_t layer) const override { return layer > 0 || learn_inputs_; }

  std::unique_ptr<trunk_tape> begin(const microbatch_context& context, const batch& data,
                                    const tensor& dense) override;
  routed forward(trunk_tape& tape, std::uint16_t layer) override;
  void combine(trunk_tape& tape, std::uint16_t layer, slot_rows outputs) override;
  microbatch_report loss(trunk_tape& tape) override;
  output_gradient backward(trunk_tape& tape, std::uint16_t layer) override;
  void input_gradient(trunk_tape& tape, std::uint16_t layer, slot_rows gradients) override;
  tensor dense_gradient(trunk_tape& tape) override;
  void fold(tensor& into, const tensor& term) override;

private:
  std::uint16_t layers_;
  routing_rule rule_;
  bool learn_inputs_;
};

/// The data set of the ledger model: row i of an epoch is a hash of both.
class ledger_data : public data_source {
public:
  ledger_data(word seed, std::uint64_t train_rows, std::uint64_t test_rows)
    : seed_(seed), train_rows_(train_rows), test_rows_(test_rows) {
    // nop
  }

  std::uint64_t rows(step_kind kind) const override {
    return kind == step_kind::train ? train_rows_ : test_rows_;
  }
  std::int64_t input_width() const override { return 1; }
  std::int64_t classes() const override { return 10; }
  samples read(step_kind kind, std::uint64_t epoch, std::uint64_t first, std::uint64_t count) const override;

private:
  word seed_;
  std::uint64_t train_rows_;
  std::uint64_t test_rows_;
};

} // namespace troupe::simulation
