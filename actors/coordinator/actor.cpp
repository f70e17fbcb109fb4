#include "actors/repeat_clock.hpp"
#include "actors/shell/actors.hpp"
#include "actors/shell/reachable.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <nlohmann/json.hpp>

namespace troupe {

namespace {

/// Where a node is, for people.
std::string place_of(const join_request& m) {
  return (m.host.empty() ? "" : m.host + ", ") + "process " + std::to_string(m.process);
}

caf::error as_caf(const error& e) {
  return caf::make_error(caf::sec::runtime_error, e.text);
}

/// The run's configuration comes second where the node expected another.
caf::error as_caf(const join_refusal& e) {
  if (e.configuration_of_run.empty()) return as_caf(static_cast<const error&>(e));
  return caf::make_error(caf::sec::runtime_error, e.text, e.configuration_of_run);
}

/// Ticks until states that have not arrived are sent, or asked for, again; more for large ones.
constexpr tick_count states_again_after = 4;

struct coordinator_state {
  static inline const char* name = "troupe.coordinator";

  coordinator_state(coordinator_actor::pointer self, const workplace& place, coordinator_settings settings,
                    coordinator_staff staff, head_observer observer)
    : self(self), term(settings.term), core(settings), office(place.office), staff(std::move(staff)),
      observer(std::move(observer)), alone(settings.nodes_expected == 0) {
    // nop
  }

  coordinator_actor::behavior_type make_behavior() {
    ignore_what_no_contract_names(self);
    end_run_on_exception(self, observer.run_failed, "coordinator");
    self->set_down_handler([this](const caf::down_msg& m) { down(m); });
    self->delayed_send(self, tick_interval, tick{});
    if (alone) {
      core.start_alone(out);
      send_initial_states();
      flush();
    }
    return {
      [this](const join_request& m) { return join(m); },
      [this](const ready& m, const host_actor& host) { admit(m, host); },
      [this](const status_request&) { return status(); },
      [this](const drain_request& m) { return drain(m.node); },
      [this](const placement_settled& m) {
        take(m);
        tell_idle();
      },
      [this](const owner_state& m) {
        take(m);
        check_collection();
      },
      [this](const state_received& m) {
        if (m.to != collected)
          take(m);
        else if (m.term == term)
          staff.initial_states.erase(m.owner);
      },
      [this](const refusal& m) {
        if (m.id.term == term) observer.run_failed({error_code::internal, sender_of_refusal() + m.reason});
      },
      [this](const collect_states& m) {
        collecting = m.version;
        repeat_request = {ticks, states_again_after + ticks_for(staff.states_bytes)};
        request_states();
      },
      [this](const end_run& m) {
        ending = release{term, m.reason, m.how};
        for (auto& host : hosts) self->send(host.second, *ending);
      },
      [this](tick) {
        ++ticks;
        if (repeat_initial.due(ticks)) send_initial_states();
        if (repeat_request.due(ticks)) request_states();
        if (retiring && --patience == 0) self->quit();
        self->delayed_send(self, tick_interval, tick{});
      },
      [this](retire) { // the last to leave: not before every node has got its release
        retiring = true;
        if (hosts.empty()) self->quit();
      },
    };
  }

  template <class Message>
  void take(const Message& m) {
    core.receive(m, out);
    flush();
  }

  void flush() {
    for (auto& letter : std::exchange(out.messages, {})) office->deliver(std::move(letter));
    for (auto& event : core.take_events()) observer.node_changed(event);
  }

  /// After whatever changes membership or placement. Those that were idle when they got lost stay idle: who
  /// sees their processes end may be told of it later.
  void tell_idle() {
    std::vector<std::string> names;
    for (auto id : core.idle()) names.push_back(core.nodes().at(id).name);
    for (auto& [id, n] : core.nodes())
      if (n.state == node_state::lost) names.push_back(n.name);
    if (names != idle_names) observer.nodes_idle(idle_names = std::move(names));
  }

  caf::result<welcome, head_directory> join(const join_request& m) {
    const auto from = self->current_sender();
    if (!from) return caf::sec::invalid_argument; // nobody to let in
    if (ending) return as_caf({error_code::unavailable, "[join] the run is over"});
    const auto who = caf::actor_cast<caf::actor_addr>(from);
    if (applicants.contains(who))
      return as_caf({error_code::usage, "[join] this process has joined already"});
    auto answer = core.join(m, place_of(m));
    if (!answer) return as_caf(answer.error());
    applicants[who] = answer->node;
    self->monitor(who);
    flush();
    return {std::move(*answer), staff.directory};
  }

  void admit(const ready& m, const host_actor& host) {
    if (!host || !core.awaits(m) || addresses.contains(host.address())) return;
    addresses[host.address()] = m.node;
    hosts[m.node] = host;
    office->enter_host(m.node, host);
    self->monitor(host);
    if (ending) return self->send(host, *ending);
    const auto before = core.started();
    take(m);
    tell_idle();
    if (before || !core.started()) return;
    std::uint64_t bytes = 0;
    for (auto& state : staff.initial_states) bytes += state.second.bytes();
    repeat_initial = {ticks, states_again_after + ticks_for(bytes)};
    send_initial_states();
  }

  /// A node says itself that it cannot go on; actors, its own and the head's, say so without a sender.
  std::string sender_of_refusal() const {
    const auto from = self->current_sender();
    const auto known = from ? applicants.find(caf::actor_cast<caf::actor_addr>(from)) : applicants.end();
    const auto node = known == applicants.end() ? core.nodes().end() : core.nodes().find(known->second);
    return node == core.nodes().end() ? "" : "[node] " + node->second.name + ": ";
  }

  caf::result<node_id> drain(const std::string& node) {
    auto answer = core.drain(node, out);
    flush();
    tell_idle();
    if (!answer) return as_caf(answer.error());
    return *answer;
  }

  void down(const caf::down_msg& m) {
    if (auto applicant = applicants.extract(m.source)) {
      const auto node = core.nodes().find(applicant.mapped());
      if (node != core.nodes().end() && node->second.state == node_state::joining)
        (void)core.lost(node->first, "it left before it was ready", out);
      return;
    }
    auto i = addresses.find(m.source);
    if (i == addresses.end()) return;
    const auto node = i->second;
    addresses.erase(i);
    hosts.erase(node);
    office->forget_host(node);
    if (retiring && hosts.empty()) self->quit();
    if (ending) return;
    auto lost = core.lost(node, "its process or its connection ended", out);
    flush();
    if (!lost) return observer.run_failed(lost.error());
    tell_idle();
  }

  /// Until their arrival is confirmed.
  void send_initial_states() {
    if (!core.started()) return;
    for (auto& [owner, state] : staff.initial_states) {
      const auto node = core.host_of(owner);
      office->deliver({host_address(node), owner_state{term, owner, 0, node, collected, state}});
    }
  }

  void request_states() {
    if (!collecting) return;
    for (auto& host : office->hosts())
      self->send(host, state_request{term, *collecting}); // this process's too
    office->deliver({dense_address(0), state_request{term, *collecting}});
  }

  void check_collection() {
    if (!collecting || core.collected_states().size() < staff.owners) return;
    collecting.reset();
    observer.states_collected(core.collected_states());
    core.forget_collected();
  }

  std::string status() const {
    const auto progress = staff.progress ? staff.progress() : run_progress();
    auto result = nlohmann::ordered_json::parse(progress.text);
    if (const auto awaited = core.nodes_awaited(); awaited > 0) result["nodes_awaited"] = awaited;
    auto& nodes = result["nodes"] = nlohmann::ordered_json::array();
    for (auto& [id, n] : core.nodes()) {
      auto experts = nlohmann::ordered_json::array(); // layer · experts per layer + expert
      for (std::size_t i = 0; i < core.placement().size(); ++i)
        if (core.placement()[i] == id) experts.push_back(i);
      nodes.push_back({{"node", id},
                       {"name", n.name},
                       {"place", n.place},
                       {"state", to_string(n.state)},
                       {"compute_threads", n.compute_threads},
                       {"experts", experts}});
      if (const auto found = progress.rates.find(id); found != progress.rates.end()) {
        nodes.back()["rows_per_second"] = found->second.rows;
        nodes.back()["bytes_in_per_second"] = found->second.bytes_in;
        nodes.back()["bytes_out_per_second"] = found->second.bytes_out;
      }
    }
    result["placement"] = core.placement();
    return result.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  }

  coordinator_actor::pointer self;
  term_id term;
  coordinator_core core;
  std::shared_ptr<post_office> office;
  coordinator_staff staff;
  head_observer observer;
  bool alone;
  std::optional<release> ending; ///< what every node gets from then on
  bool retiring = false;
  int patience = 8; ///< ticks that nodes get to leave by themselves
  outbox out;
  tick_count ticks = 0;
  repeat_clock repeat_initial{0, states_again_after};
  repeat_clock repeat_request;
  std::map<node_id, host_actor> hosts; ///< of other processes
  std::map<caf::actor_addr, node_id> addresses;
  std::map<caf::actor_addr, node_id> applicants; ///< who asked to join, until they are gone
  std::optional<std::uint64_t> collecting;
  std::vector<std::string> idle_names; ///< as last told
};

} // namespace

coordinator_actor spawn_coordinator(caf::actor_system& system, const workplace& place,
                                    coordinator_settings settings, coordinator_staff staff,
                                    head_observer observer) {
  return system.spawn<caf::stateful_actor<coordinator_state, reachable<coordinator_actor::impl>>>(
    place, std::move(settings), std::move(staff), std::move(observer));
}

} // namespace troupe
