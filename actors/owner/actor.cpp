#include "actors/owner/dense_core.hpp"
#include "actors/owner/expert_core.hpp"
#include "actors/shell/actors.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace troupe {

namespace {

struct expert_state {
  static inline const char* name = "troupe.expert";

  expert_state(expert_actor::pointer self, const workplace& place, owner_settings settings,
               std::shared_ptr<expert_module> module)
    : self(self), drive(core_with<expert_core>(settings, std::move(module)), self, place,
                        "expert " + std::to_string(settings.index)) {
    // nop
  }

  expert_actor::behavior_type make_behavior() {
    return {
      [this](const expert_plan& m) { drive.receive(m); },
      [this](const commit& m) { drive.receive(m); },
      [this](const expert_forward& m) { drive.receive(m); },
      [this](const expert_backward& m) { drive.receive(m); },
      [this](const owner_state& m) { drive.receive(m); },
      [this](const state_received& m) { drive.receive(m); },
      [this](const state_request& m) { drive.receive(m); },
      [this](const job_done& m) { drive.finished(m.job); },
      [this](tick) { drive.ticked(); },
      [this](retire) { self->quit(); },
    };
  }

  expert_actor::pointer self;
  driver<expert_core, expert_actor> drive;
};

struct dense_state {
  static inline const char* name = "troupe.dense";

  dense_state(dense_actor::pointer self, const workplace& place, owner_settings settings,
              std::shared_ptr<dense_module> module, replica_id replicas)
    : self(self),
      drive(core_with<dense_core>(settings, std::move(module), replicas), self, place, "dense part") {
    // nop
  }

  dense_actor::behavior_type make_behavior() {
    return {
      [this](const plan& m) { drive.receive(m); },
      [this](const commit& m) { drive.receive(m); },
      [this](const dense_gradient& m) { drive.receive(m); },
      [this](const owner_state& m) { drive.receive(m); },
      [this](const state_received& m) { drive.receive(m); },
      [this](const state_request& m) { drive.receive(m); },
      [this](const job_done& m) { drive.finished(m.job); },
      [this](tick) { drive.ticked(); },
      [this](retire) { self->quit(); },
    };
  }

  dense_actor::pointer self;
  driver<dense_core, dense_actor> drive;
};

} // namespace

expert_actor spawn_expert(caf::actor_system& system, const workplace& place, owner_settings settings,
                          std::unique_ptr<expert_module> module) {
  return system.spawn<caf::stateful_actor<expert_state, expert_actor::impl>>(
    place, settings, std::shared_ptr(std::move(module)));
}

dense_actor spawn_dense(caf::actor_system& system, const workplace& place, owner_settings settings,
                        std::unique_ptr<dense_module> module, replica_id replicas) {
  return system.spawn<caf::stateful_actor<dense_state, dense_actor::impl>>(
    place, settings, std::shared_ptr(std::move(module)), replicas);
}

} // namespace troupe
