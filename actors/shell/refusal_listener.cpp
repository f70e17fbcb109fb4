#include "actors/shell/actors.hpp"
#include "actors/shell/reachable.hpp"
#include "actors/shell/refusal_lines.hpp"
#include "actors/transport/inspect.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <chrono>

namespace troupe {

namespace {

struct refusal_state {
  static inline const char* name = refusal_listener;

  refusal_state(caf::event_based_actor* self, std::function<void(std::string)> say)
    : self(self), say(std::move(say)) {
    // nop
  }

  caf::behavior make_behavior() {
    ignore_what_no_contract_names(self);
    return {
      [this](const std::string& why) {
        using seconds = std::chrono::duration<double>;
        const auto now = seconds(std::chrono::steady_clock::now().time_since_epoch()).count();
        if (auto line = lines.take(why, now)) say(std::move(*line));
      },
      [this](retire) { self->quit(); },
    };
  }

  caf::event_based_actor* self;
  std::function<void(std::string)> say;
  refusal_lines lines;
};

} // namespace

refusal_watch::refusal_watch(caf::actor_system& system, std::function<void(std::string)> say)
  : system_(system), listener_(system.spawn<caf::stateful_actor<refusal_state>>(std::move(say))) {
  system_.registry().put(refusal_listener, listener_);
}

refusal_watch::~refusal_watch() {
  system_.registry().erase(refusal_listener);
  caf::anon_send(listener_, retire{});
}

void tell_refused(caf::actor_system& system, std::string why) {
  if (auto listener = system.registry().get(refusal_listener))
    caf::anon_send(caf::actor_cast<caf::actor>(listener), std::move(why));
}

} // namespace troupe
