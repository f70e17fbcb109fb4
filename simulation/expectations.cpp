#include "simulation/expectations.hpp"

#include "simulation/naming.hpp"

#include <algorithm>

namespace troupe::simulation {

namespace {

std::string number(std::uint64_t x) {
  return std::to_string(x);
}

} // namespace

expectations::expectations(const scenario& s) : reference_(expected_of(s)) {
  for (auto& [owner, state] : reference_.states.front()) versions_[owner] = 0;
}

void expectations::violated(std::string what) {
  if (!violation_) violation_ = std::move(what);
}

bool expectations::plan_sent(const plan& p) {
  if (p.step < plans_) return false;
  expect(p.step == plans_ && p.step < steps(), [&] {
    return "plan " + number(p.step) + ": expected plan " + number(plans_) + " of " + number(steps());
  });
  ++plans_;
  for (auto& [owner, version] : versions_)
    expect(version + 1 >= p.step, [&, &name = owner, at = version] {
      return "plan " + number(p.step) + " was issued while " + to_string(name) + " is at version "
             + number(at) + ", limit " + number(p.step - 1);
    });
  return true;
}

void expectations::owner_at(owner_id owner, std::uint64_t version, word state, bool moved_in) {
  auto& newest = versions_[owner];
  const auto allowed = moved_in ? version == newest : version == newest || version == newest + 1;
  if (!allowed)
    return violated(to_string(owner) + (moved_in ? " moved in at version " : " went to version ")
                    + number(version) + ", expected version " + number(moved_in ? newest : newest + 1));
  newest = version;
  if (version >= reference_.states.size())
    return violated(to_string(owner) + " did more steps than there are");
  const auto expected = reference_.states[version].at(owner);
  expect(state == expected, [&] {
    return "parameters of " + to_string(owner) + " at version " + number(version) + ": got " + number(state)
           + ", expected " + number(expected);
  });
}

void expectations::step_ended(const step_summary& summary) {
  const auto& p = summary.permission;
  const auto what = [&](const char* field) {
    return [&p, field] { return "summary of step " + number(p.step) + ": wrong " + field; };
  };
  if (p.step != steps_ended_ || p.step >= steps())
    return violated("step " + number(p.step) + " ended, expected step " + number(steps_ended_));
  const auto& expected = reference_.steps[steps_ended_++];
  expect(p.kind == expected.kind && p.ordinal == expected.ordinal, what("kind"));
  expect(p.rows == expected.rows, what("rows"));
  expect(p.learning_rate == expected.learning_rate, what("learning rate"));
  expect(summary.gradient_norm == expected.gradient_norm, what("gradient norm"));
  std::vector<microbatch_report> reports;
  for (auto& r : summary.replicas)
    reports.insert(reports.end(), r.microbatches.begin(), r.microbatches.end());
  std::ranges::sort(reports, {}, &microbatch_report::microbatch);
  expect(reports == expected.microbatches, what("microbatch reports"));
}

void expectations::refused(const refusal& r) {
  const auto normal = r.reason.find("old term") != std::string::npos
                      || r.reason.find("the step is over") != std::string::npos
                      || r.reason.find("no such work") != std::string::npos;
  expect(normal, [&] { return "work was refused: " + r.reason; });
}

void expectations::ended() {
  expect(steps_ended_ == steps(),
         [&] { return number(steps_ended_) + " steps ended, expected " + number(steps()); });
  for (auto& [owner, version] : versions_)
    expect(version == steps(), [&, &name = owner, at = version] {
      return to_string(name) + " ended at version " + number(at) + ", expected " + number(steps());
    });
}

void expectations::final_states(const std::map<owner_id, word>& states) {
  for (auto& [owner, state] : reference_.states.back()) {
    auto i = states.find(owner);
    expect(i != states.end() && i->second == state,
           [&, &name = owner] { return "the parameters of " + to_string(name) + " are wrong at the end"; });
  }
}

std::string expectations::stragglers() const {
  std::string result;
  for (auto& [owner, version] : versions_)
    if (version <= steps_ended_) result += (result.empty() ? "" : ", ") + to_string(owner);
  return result.empty() ? "a router" : result;
}

} // namespace troupe::simulation
