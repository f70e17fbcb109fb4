#pragma once

#include "actors/optimizer/core.hpp"
#include "simulation/reference.hpp"
#include "simulation/scenario.hpp"

#include <map>
#include <optional>
#include <string>

namespace troupe::simulation {

/// Compares a run with the sequential reference while it goes on, and remembers the first thing that is not
/// as it should.
class expectations {
public:
  explicit expectations(const scenario& s);

  /// The first violated expectation.
  const std::optional<std::string>& violation() const noexcept { return violation_; }

  void violated(std::string what);

  /// `ok` must hold; `what` is only called if it does not.
  template <class Text>
  void expect(bool ok, Text what) {
    if (!ok) violated(what());
  }

  /// The optimizer has sent a plan, perhaps not for the first time. True if it was.
  /// At most two steps are open: every owner has done the step before the last one.
  bool plan_sent(const plan& p);

  /// An owner's core is at `version` with parameters `state`; `moved_in`: it has just got them from another
  /// node. Versions grow by one, and the parameters at each are those of the reference.
  void owner_at(owner_id owner, std::uint64_t version, word state, bool moved_in);

  /// Steps end in order, and report what the reference computed.
  void step_ended(const step_summary& summary);

  /// A refusal arrived. Some are normal under faults, others would mean a confused sender.
  void refused(const refusal& r);

  /// Every step has ended and every owner has the last version.
  void ended();

  /// Parameters of all owners at the end.
  void final_states(const std::map<owner_id, word>& states);

  std::uint64_t steps() const noexcept { return reference_.steps.size(); }
  std::uint64_t steps_ended() const noexcept { return steps_ended_; }

  /// Owners that have not done the oldest open step, for people.
  std::string stragglers() const;

private:
  expected_run reference_;
  std::map<owner_id, std::uint64_t> versions_;
  std::uint64_t plans_ = 0;
  std::uint64_t steps_ended_ = 0;
  std::optional<std::string> violation_;
};

} // namespace troupe::simulation
