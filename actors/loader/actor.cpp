#include "actors/shell/actors.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace troupe {

namespace {

struct loader_state {
  static inline const char* name = "troupe.loader";

  loader_state(loader_actor::pointer self, const workplace& place, loader_settings settings,
               std::shared_ptr<const data_source> data)
    : self(self), drive(core_with<loader_core>(settings, std::move(data)), self, place, "data loader") {
    // nop
  }

  loader_actor::behavior_type make_behavior() {
    return {
      [this](const fetch& m) { drive.receive(m); },
      [this](const job_done& m) { drive.finished(m.job); },
      [this](retire) { self->quit(); },
    };
  }

  loader_actor::pointer self;
  driver<loader_core, loader_actor> drive;
};

} // namespace

loader_actor spawn_loader(caf::actor_system& system, const workplace& place, loader_settings settings,
                          std::shared_ptr<const data_source> data) {
  return system.spawn<caf::stateful_actor<loader_state, loader_actor::impl>>(place, settings,
                                                                             std::move(data));
}

} // namespace troupe
