#include "actors/shell/actors.hpp"
#include "actors/shell/reachable.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace troupe {

namespace {

struct host_state {
  static inline const char* name = "troupe.host";

  host_state(host_actor::pointer self, const workplace& place, host_settings settings,
             expert_maker make_expert, std::function<void(const release&)> released)
    : self(self), place(place), settings(settings), make_expert(std::move(make_expert)),
      released(std::move(released)), core(settings) {
    // nop
  }

  host_actor::behavior_type make_behavior() {
    ignore_what_no_contract_names(self);
    end_run_on_exception(self, place.run_failed, "host");
    self->delayed_send(self, tick_interval, tick{});
    return {
      [this](const plan& m) { take(m); },
      [this](const commit& m) { take(m); },
      [this](const dispatch& m) { take(m); },
      [this](const gradient& m) { take(m); },
      [this](const owner_state& m) { take(m); },
      [this](const state_received& m) { take(m); },
      [this](const state_request& m) { take(m); },
      [this](const release& m) {
        if (m.term == settings.term) return released(m);
        tell_refused(self->home_system(), "[host] release: got another term than the run's");
      },
      [this](const expert_output& m) { take(m); },
      [this](const expert_input_gradient& m) { take(m); },
      [this](const applied& m) { take(m); },
      [this](const norm_report& m) { take(m); },
      [this](const refusal& m) { take(m); },
      [this](tick) {
        for (auto& owner : core.leaving())
          if (auto e = experts.find(owner); e != experts.end()) self->send(e->second, tick{});
        self->delayed_send(self, tick_interval, tick{});
      },
      [this](retire) {
        for (auto& e : experts) self->send(e.second, retire{});
        self->quit();
      },
    };
  }

  template <class Message>
  void take(const Message& m) {
    core.receive(m, out);
    for (auto& change : std::exchange(out.experts, {})) change.born ? bear(change) : bury(change.owner);
    for (auto& letter : std::exchange(out.messages, {})) place.office->deliver(std::move(letter));
  }

  void bear(const expert_change& change) {
    auto module = make_expert(change.owner, change.fresh);
    if (!module) { // the configuration was checked at join, so this is memory or a damaged installation
      if (place.run_failed) place.run_failed(module.error());
      return;
    }
    owner_settings s;
    s.term = settings.term;
    s.owner = change.owner;
    s.index = change.owner.layer * settings.experts + change.owner.expert;
    s.node = settings.node;
    s.reports_to = host_address(settings.node);
    s.fresh = change.fresh;
    s.now_us = place.now_us;
    auto expert = spawn_expert(self->home_system(), place, s, std::move(*module));
    experts[change.owner] = expert;
    place.office->enter_expert(change.owner, std::move(expert));
  }

  void bury(const owner_id& owner) {
    place.office->forget_expert(owner);
    if (auto e = experts.extract(owner)) self->send(e.mapped(), retire{}); // unless it could not be made
  }

  host_actor::pointer self;
  workplace place;
  host_settings settings;
  expert_maker make_expert;
  std::function<void(const release&)> released;
  host_core core;
  outbox out;
  std::map<owner_id, expert_actor> experts;
};

} // namespace

host_actor spawn_host(caf::actor_system& system, const workplace& place, host_settings settings,
                      expert_maker make_expert, std::function<void(const release&)> released) {
  return system.spawn<caf::stateful_actor<host_state, reachable<host_actor::impl>>>(
    place, settings, std::move(make_expert), std::move(released));
}

} // namespace troupe
