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

  refusal_lines lines;
};

caf::behavior listen(caf::stateful_actor<refusal_state>* self, std::function<void(std::string)> say) {
  ignore_what_no_contract_names(self);
  return {
    [self, say = std::move(say)](const std::string& why) {
      using seconds = std::chrono::duration<double>;
      const auto now = seconds(std::chrono::steady_clock::now().time_since_epoch()).count();
      if (auto line = self->state.lines.take(why, now)) say(std::move(*line));
    },
    [self](retire) { self->quit(); },
  };
}

} // namespace

refusal_watch::refusal_watch(caf::actor_system& system, std::function<void(std::string)> say)
  : system_(system), listener_(system.spawn(listen, std::move(say))) {
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
