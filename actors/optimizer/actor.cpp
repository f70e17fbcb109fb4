#include "actors/shell/actors.hpp"
#include "actors/shell/reachable.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace troupe {

namespace {

struct optimizer_state {
  static inline const char* name = "troupe.optimizer";

  optimizer_state(optimizer_actor::pointer self, const workplace& place, optimizer_settings settings,
                  head_observer observer)
    : self(self), core(std::move(settings)), office(place.office), observer(std::move(observer)) {
    // nop
  }

  optimizer_actor::behavior_type make_behavior() {
    ignore_what_no_contract_names(self);
    end_run_on_exception(self, observer.run_failed, "optimizer");
    self->delayed_send(self, tick_interval, tick{});
    return {
      [this](const placement_change& m) { take(m); },
      [this](const applied& m) { take(m); },
      [this](const norm_report& m) { take(m); },
      [this](const replica_report& m) { take(m); },
      [this](tick) {
        core.tick(out);
        flush();
        self->delayed_send(self, tick_interval, tick{});
      },
      [this](retire) { self->quit(); },
    };
  }

  template <class Message>
  void take(const Message& m) {
    core.receive(m, out);
    flush();
  }

  void flush() {
    for (auto& letter : std::exchange(out.messages, {})) office->deliver(std::move(letter));
    for (auto& summary : core.take_summaries()) observer.step_ended(std::move(summary));
    if (core.finished() && !std::exchange(announced, true)) observer.steps_exhausted(core.next_step());
  }

  optimizer_actor::pointer self;
  optimizer_core core;
  std::shared_ptr<post_office> office;
  head_observer observer;
  outbox out;
  bool announced = false;
};

} // namespace

optimizer_actor spawn_optimizer(caf::actor_system& system, const workplace& place,
                                optimizer_settings settings, head_observer observer) {
  return system.spawn<caf::stateful_actor<optimizer_state, reachable<optimizer_actor::impl>>>(
    place, std::move(settings), std::move(observer));
}

} // namespace troupe
