#include "simulation/reference.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace troupe::simulation {

namespace {

/// Sizes of `parts` parts of `total` that differ by at most one, larger first.
std::vector<std::uint32_t> parts_of(std::uint64_t total, std::uint64_t parts) {
  std::vector<std::uint32_t> result;
  for (std::uint64_t i = 0; i < parts; ++i)
    result.push_back(static_cast<std::uint32_t>((total + parts - 1 - i) / parts));
  return result;
}

double rate_of(const optimizer_options& o, std::uint64_t index, std::uint64_t total) {
  if (index < o.warmup_steps) return o.learning_rate * (index + 1.0) / static_cast<double>(o.warmup_steps);
  if (o.schedule == "constant" || total <= o.warmup_steps + 1) return o.learning_rate;
  const auto along = static_cast<double>(index - o.warmup_steps)
                     / static_cast<double>(total - o.warmup_steps - 1);
  const auto left = o.schedule == "linear" ? 1 - along : (1 + std::cos(std::numbers::pi * along)) / 2;
  return o.min_learning_rate + (o.learning_rate - o.min_learning_rate) * left;
}

struct token {
  word at = 0;
  word gradient = 0;
  std::int64_t label = 0;
  std::vector<word> rows;                       ///< by layer
  std::vector<std::vector<std::int32_t>> where; ///< by layer and slot
  std::vector<std::vector<word>> gates;
};

/// Gradient of one lane: by owner.
using lane_sums = std::map<owner_id, word>;

class sequential_run {
public:
  explicit sequential_run(const scenario& s) : s_(s) {
    for (std::uint16_t l = 0; l < s.layers; ++l)
      for (std::uint16_t e = 0; e < s.config.model.experts; ++e)
        states_[{l, e, 0}] = initial_state(s.seed, {l, e, 0});
    states_[dense_] = initial_state(s.seed, dense_);
    result_.states.push_back(states_);
  }

  expected_run run() {
    const auto& c = s_.config.schedule;
    const auto per_epoch = (s_.train_rows + c.batch_size - 1) / c.batch_size;
    for (std::uint64_t u = 0; u < c.max_steps; ++u) {
      step(step_kind::train, u, u / per_epoch, u % per_epoch * c.batch_size, s_.train_rows, c.batch_size);
      const auto done = u + 1;
      const auto epoch_due = c.eval_interval_epochs != 0 && done % (per_epoch * c.eval_interval_epochs) == 0;
      if (done == c.max_steps ? c.evaluate_at_end : epoch_due)
        for (std::uint64_t first = 0, b = 0; first < s_.test_rows; first += c.eval_batch_size, ++b)
          step(step_kind::evaluate, b, 0, first, s_.test_rows, c.eval_batch_size);
    }
    return std::move(result_);
  }

private:
  void step(step_kind kind, std::uint64_t ordinal, std::uint64_t epoch, std::uint64_t first,
            std::uint64_t all, std::uint64_t batch) {
    const auto& c = s_.config;
    expected_step out;
    out.kind = kind;
    out.ordinal = ordinal;
    out.rows = std::min(batch, all - first);
    if (kind == step_kind::train) out.learning_rate = rate_of(c.optimizer, ordinal, c.schedule.max_steps);
    const auto sizes = parts_of(out.rows, std::min<std::uint64_t>(c.schedule.num_microbatches, out.rows));
    const auto runs = parts_of(sizes.size(), std::min<std::uint64_t>(c.schedule.lanes, sizes.size()));
    std::vector<lane_sums> lanes(runs.size());
    std::uint32_t number = 0;
    for (std::size_t lane = 0; lane < runs.size(); ++lane)
      for (std::uint32_t i = 0; i < runs[lane]; ++i, ++number) {
        auto tokens = forward(kind, ordinal, number, epoch, first, sizes[number]);
        out.microbatches.push_back(report(tokens, number));
        first += sizes[number];
        if (kind == step_kind::train)
          backward(tokens, static_cast<double>(sizes[number]) / static_cast<double>(out.rows), i == 0,
                   lanes[lane]);
      }
    if (kind == step_kind::train) apply(lanes, out);
    result_.steps.push_back(std::move(out));
    result_.states.push_back(states_);
  }

  std::vector<token> forward(step_kind kind, std::uint64_t ordinal, std::uint32_t microbatch,
                             std::uint64_t epoch, std::uint64_t first, std::uint32_t rows) {
    const auto dense = states_[dense_];
    std::vector<token> tokens(rows);
    for (std::uint32_t i = 0; i < rows; ++i) {
      auto& t = tokens[i];
      const auto input = input_value(s_.seed, kind, epoch, first + i);
      t.label = label_of(input);
      t.at = token_start(input, dense, ordinal, microbatch);
      for (std::uint16_t l = 0; l < s_.layers; ++l) {
        t.rows.push_back(token_row(t.at, dense, l));
        t.where.push_back(chosen(s_.routing, t.rows[l], l));
        t.gates.emplace_back();
        word slots = l;
        for (std::uint32_t k = 0; k < s_.routing.slots; ++k) {
          const auto e = t.where[l][k];
          t.gates[l].push_back(e < 0 ? 0 : gate_value(t.at, dense, l, k, static_cast<std::uint32_t>(e)));
          slots = append(slots,
                         e < 0 ? empty_slot : slot_value(t.gates[l][k], answer(owner(l, e), t.rows[l])));
        }
        t.at = token_after(t.at, slots);
      }
    }
    return tokens;
  }

  microbatch_report report(const std::vector<token>& tokens, std::uint32_t number) const {
    microbatch_report r;
    r.microbatch = number;
    r.rows = static_cast<std::uint32_t>(tokens.size());
    r.layers.resize(s_.layers);
    for (auto& layer : r.layers) layer.expert_rows.resize(s_.routing.experts);
    word all = 0;
    for (auto& t : tokens) {
      all = append(all, t.at);
      r.correct += static_cast<double>(t.at & 1);
      for (std::uint16_t l = 0; l < s_.layers; ++l)
        for (auto e : t.where[l])
          if (e >= 0) ++r.layers[l].expert_rows[static_cast<std::size_t>(e)];
    }
    r.loss = loss_value(all);
    return r;
  }

  void backward(std::vector<token>& tokens, double share, bool first_of_lane, lane_sums& sums) {
    for (auto& t : tokens) t.gradient = token_gradient(t.at, t.label, share);
    for (auto l = s_.layers; l-- > 0;) {
      for (auto& t : tokens) {
        const auto row = token_gradient_row(t.gradient, l);
        word slots = l;
        for (std::uint32_t k = 0; k < s_.routing.slots; ++k) {
          const auto e = t.where[l][k];
          if (e < 0) {
            slots = append(slots, empty_slot);
            continue;
          }
          const auto who = owner(l, e);
          const auto term = expert_term(who, t.rows[l], row, t.gates[l][k]);
          sums[who] = append(sums[who], term);
          slots = append(slots, expert_input_gradient_value(states_[who], term));
        }
        if (l > 0 || s_.learn_inputs) t.gradient = token_gradient_below(t.gradient, slots);
      }
      for (std::uint16_t e = 0; e < s_.routing.experts; ++e)
        sums[{l, e, 0}] = append(sums[{l, e, 0}], end_of_microbatch);
    }
    word dense = 0;
    for (auto& t : tokens) dense = append(dense, dense_term(t.at, t.gradient));
    sums[dense_] = first_of_lane ? dense : append(sums[dense_], dense);
  }

  void apply(const std::vector<lane_sums>& lanes, expected_step& out) {
    const auto& o = s_.config.optimizer;
    auto sums = lanes.front();
    for (std::size_t i = 1; i < lanes.size(); ++i)
      for (auto& [who, sum] : lanes[i]) sums[who] = append(sums[who], sum);
    const auto clips = o.clip_norm > 0;
    const auto global = o.clip_scope == "global";
    double squared = 0;
    for (auto& [who, sum] : sums) squared += squared_norm_of(sum);
    if (clips && global) out.gradient_norm = std::sqrt(squared);
    for (auto& [who, sum] : sums) {
      const auto norm = global ? std::sqrt(squared) : std::sqrt(squared_norm_of(sum));
      const auto scale = clips ? std::min(1.0, o.clip_norm / (norm + 1e-6)) : 1.0;
      states_[who] = updated(states_[who], sum, {out.learning_rate, scale, out.ordinal});
    }
  }

  static owner_id owner(std::uint16_t layer, std::int32_t expert) {
    return {layer, static_cast<std::uint16_t>(expert), 0};
  }

  word answer(owner_id who, word row) { return expert_answer(who, states_[who], row); }

  const owner_id dense_{0, owner_id::dense_part, 0};
  const scenario& s_;
  std::map<owner_id, word> states_;
  expected_run result_;
};

} // namespace

expected_run expected_of(const scenario& s) {
  return sequential_run(s).run();
}

} // namespace troupe::simulation
