#include "actors/shell/actors.hpp"
#include "actors/shell/reachable.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace troupe {

namespace {

struct router_state {
  static inline const char* name = "troupe.router";

  router_state(router_actor::pointer self, const workplace& place, router_settings settings,
               std::shared_ptr<trunk_module> trunk)
    : self(self),
      drive(core_with<router_core>(std::move(settings), std::move(trunk)), self, place, "router") {
    // nop
  }

  router_actor::behavior_type make_behavior() {
    ignore_what_no_contract_names(self);
    self->delayed_send(self, tick_interval, tick{});
    return {
      [this](const plan& m) { drive.receive(m); },
      [this](const batch& m) { drive.receive(m); },
      [this](const combine& m) { drive.receive(m); },
      [this](const input_gradient& m) { drive.receive(m); },
      [this](const dense_parameters& m) { drive.receive(m); },
      [this](const refusal& m) { drive.receive(m); },
      [this](const job_done& m) { drive.finished(m.job); },
      [this](tick) {
        drive.ticked();
        self->delayed_send(self, tick_interval, tick{});
      },
      [this](retire) { self->quit(); },
    };
  }

  router_actor::pointer self;
  driver<router_core, router_actor> drive;
};

} // namespace

router_actor spawn_router(caf::actor_system& system, const workplace& place, router_settings settings,
                          std::unique_ptr<trunk_module> trunk) {
  trunk->share_work([pool = std::weak_ptr(place.pool)](std::size_t parts, const auto& work) {
    if (const auto threads = pool.lock())
      threads->share(parts, work);
    else
      alone(parts, work);
  });
  return system.spawn<caf::stateful_actor<router_state, reachable<router_actor::impl>>>(
    place, std::move(settings), std::shared_ptr(std::move(trunk)));
}

} // namespace troupe
