#include "simulation/run.hpp"

#include "simulation/cluster.hpp"

namespace troupe::simulation {

namespace {

constexpr instant step_time_max = 60'000;       ///< no step takes longer, whatever gets lost
constexpr std::uint64_t events_max = 5'000'000; ///< a run has some ten thousand
constexpr instant quiet_time = 3'000;           ///< after the end: longer than anything lingers

/// Goes on until `done`, a violation, or a bound.
template <class Done>
void go_on(cluster& c, expectations& watch, const char* doing, instant since, Done done) {
  while (!watch.violation() && !done()) {
    if (!c.step()) return watch.violated(std::string("nothing is left to happen while ") + doing);
    const auto stalled = c.now() - std::max(c.last_step_end(), since) > step_time_max;
    if (stalled || c.events() > events_max)
      return watch.violated(std::string("no end of ") + doing + ": step "
                            + std::to_string(watch.steps_ended()) + " waits for " + watch.stragglers());
  }
}

} // namespace

outcome simulate(const scenario& s, std::ostream* trace) {
  expectations watch(s);
  cluster c(s, watch, trace);
  c.start();
  go_on(c, watch, "training", 0, [&] { return c.trained(); });
  if (!watch.violation()) watch.ended();
  c.collect();
  go_on(c, watch, "collecting the states", c.now(), [&] { return c.collected(); });
  const auto end = c.now() + quiet_time;
  go_on(c, watch, "the time after the end", c.now(), [&] { return c.now() >= end; });
  if (!watch.violation()) {
    watch.ended();
    c.compare_states();
  }
  return {watch.violation(), c.now(), c.events(), watch.steps_ended()};
}

} // namespace troupe::simulation
