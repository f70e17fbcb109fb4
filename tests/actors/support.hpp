#pragma once

#include "actors/outbox.hpp"
#include "simulation/ledger_owners.hpp"
#include "simulation/ledger_tensors.hpp"

#include <initializer_list>
#include <utility>
#include <vector>

// What tests of single cores share: they play all other roles themselves.
namespace troupe::test {

constexpr term_id term{7, 1};
constexpr term_id old_term{6, 1};

/// Messages of one type in an outbox, in order.
template <class M>
std::vector<M> sent(const outbox& out) {
  std::vector<M> result;
  for (auto& letter : out.messages)
    if (auto* m = std::get_if<M>(&letter.body)) result.push_back(*m);
  return result;
}

/// Those to one address.
template <class M>
std::vector<M> sent_to(const outbox& out, const address& to) {
  std::vector<M> result;
  for (auto& letter : out.messages)
    if (auto* m = std::get_if<M>(&letter.body); m != nullptr && letter.to == to) result.push_back(*m);
  return result;
}

/// True if the outbox holds one refusal, and it says that the work came late (or that it did not).
inline bool refuses(const outbox& out, bool late) {
  const auto lines = sent<refusal>(out);
  return lines.size() == 1 && lines[0].late == late;
}

/// Hands a message to a core and returns what it wants done.
template <class Core>
outbox give(Core& core, const auto& m) {
  outbox out;
  core.receive(m, out);
  return out;
}

/// The same; and runs its jobs, and theirs, one after the other.
template <class Core>
outbox give_and_run(Core& core, const auto& m) {
  outbox out;
  core.receive(m, out);
  while (!out.jobs.empty())
    for (auto& job : std::exchange(out.jobs, {})) {
      job.work();
      core.finished(job.id, out);
    }
  return out;
}

/// A step with microbatches of the given rows in the given lanes, all of replica 0, and experts placed as
/// given.
inline plan make_plan(std::uint64_t step, std::initializer_list<std::uint32_t> lanes,
                      std::vector<node_id> placement) {
  plan p;
  p.term = term;
  p.step = step;
  p.ordinal = step;
  p.learning_rate = 0.5;
  for (auto lane : lanes) {
    p.microbatches.push_back({lane, 0, 2});
    p.rows += 2;
  }
  p.placement_version = 1;
  p.placement = std::move(placement);
  return p;
}

inline tensor indices(std::initializer_list<std::int32_t> values) {
  return tensor::of<std::int32_t>({static_cast<std::int64_t>(values.size())}, std::vector(values));
}

inline tensor rows(std::initializer_list<simulation::word> values) {
  return simulation::rows_of(std::vector(values));
}

/// Gates [N].
inline tensor gates(std::initializer_list<double> values) {
  return tensor::of<double>({static_cast<std::int64_t>(values.size())}, std::vector(values));
}

} // namespace troupe::test
