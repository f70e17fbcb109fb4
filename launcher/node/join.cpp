#include "launcher/node/join.hpp"

#include "launcher/node/connection_watch.hpp"
#include "launcher/node/system.hpp"
#include "model/catch_failures.hpp"
#include "model/factory.hpp"

#include <caf/after.hpp>
#include <caf/scoped_actor.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>

#include <unistd.h>

namespace troupe::node {

namespace {

/// How long a node that cannot go on waits to be let go.
constexpr std::chrono::seconds last_patience{3};

struct parts {
  configuration config;
  model_shape shape;
  bool fresh = true;
  std::uint32_t delay_ms_max = 0;
};

/// What a head says of its run, checked as if a stranger had written it.
struct told_run {
  configuration config;
  run_options options;
  bool fresh = true;
};

expected<told_run> read_run(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("configuration") || !json.contains("run") || !json.contains("fresh")
      || !json["fresh"].is_boolean())
    return fail(error_code::malformed, "[join] configuration: the head sent something else");
  auto config = configuration_from_json(json["configuration"].dump());
  if (!config) return tl::unexpected(config.error());
  auto options = run_options_from_json(json["run"].dump());
  if (!options) return tl::unexpected(options.error());
  return told_run{std::move(*config), *options, json["fresh"].get<bool>()};
}

expected<parts> read_welcome(const welcome& w, const model_factory& factory, const extensions& more) {
  auto run = read_run(w.configuration);
  if (!run) return tl::unexpected(run.error());
  if (auto ok = validate(run->config, run->options, more); !ok) return tl::unexpected(ok.error());
  auto shape = shape_without_files(run->config, factory);
  if (!shape) return tl::unexpected(shape.error());
  return parts{run->config, *shape, run->fresh, run->options.message_delay_ms_max};
}

/// Why the head does not let this node in. To a node that expects another configuration it tells the run's
/// besides: what differs is found here.
std::string reason_of(const caf::error& e, const std::optional<configuration>& given) {
  const auto& context = e.context();
  if (!context.match_elements<std::string, std::string>()) return text_of(e);
  const auto run = read_run(context.get_as<std::string>(1));
  const auto keys = run && given ? differences(run->config, *given) : "";
  if (keys.empty()) return context.get_as<std::string>(0);
  return "[join] configuration: " + keys
         + "; correct the --config file, or leave --config out to take the run's own configuration";
}

/// As a terminal can show it.
std::string host_name() {
  char name[129] = {}; // as long as the coordinator takes
  ::gethostname(name, sizeof name - 1);
  std::string result(name);
  std::ranges::replace_if(
    result, [](char c) { return c <= ' ' || c > '~'; }, '?');
  return result;
}

join_request request_of(const join_options& options, const numerics_libraries& libraries) {
  join_request r;
  const auto f = own_fingerprint(libraries);
  r.protocol = protocol_version;
  r.name = options.name;
  r.fingerprint = f.hex;
  r.fingerprint_text = f.text;
  r.run_id = options.run_id;
  if (options.config) r.configuration_hash = hash_of(*options.config);
  r.host = host_name();
  r.process = static_cast<std::uint32_t>(::getpid());
  r.compute_threads = options.compute_threads;
  return r;
}

/// What the main thread of a node hears until the node may go.
struct farewell {
  caf::scoped_actor& self;
  event_writer& events;
  term_id term;
  std::string name; ///< of this node
  std::optional<release> released = {};
  bool connected = true;
  std::string failure = {}; ///< of an actor here

  /// One more message; false if none came in time.
  bool hear(caf::timespan patience) {
    bool heard = true;
    self->receive(
      [&](const release& m) {
        if (m.term == term) released = m;
      },
      [&](const refusal& m) {
        if (m.id.term == term && failure.empty()) failure = m.reason;
      },
      [&](const caf::down_msg&) { connected = false; },
      [&](const std::string& warning) {
        events.write({{"event", "warning"}, {"text", warning}});
      },
      caf::after(patience) >> [&] { heard = false; });
    return heard;
  }
};

/// Waits until the node may go: it is released, or the run has failed.
expected<void> await_release(farewell& end, const coordinator_actor& coordinator,
                             const launcher::address& head) {
  while (!end.released && end.connected && end.failure.empty()) end.hear(std::chrono::minutes(1));
  if (!end.failure.empty()) {
    // The head tells everybody, and then lets this node go, too.
    end.self->send(coordinator, refusal{{end.term, 0, 0, 0}, end.failure});
    while (!end.released && end.connected && end.hear(last_patience)) {
    }
    return fail(error_code::internal, end.failure);
  }
  // The release comes through the host, which may be computing: the end of the connection overtakes it.
  while (!end.released && end.hear(std::chrono::seconds(1))) {
  }
  if (!end.released)
    return fail(error_code::unavailable,
                "[node] the connection to the head at " + head.text()
                  + " ended before the node was released; join again when the run has been started again");
  const auto& [term, reason, how] = *end.released;
  if (how == parting::drained || how == parting::finished)
    end.events.write(
      {{"event", "node"},
       {"name", end.name},
       {"state", "left"},
       {"reason", how == parting::finished ? "the run is over" : "on request, the run goes on without it"}});
  if (how == parting::interrupted)
    end.events.write({{"event", "warning"}, {"text", "[node] released: " + reason + " at its head"}});
  if (how == parting::failed)
    return fail(error_code::run_failed, "[node] the run has failed" + (reason.empty() ? "" : ": " + reason)
                                          + "; join again when it has been started again");
  return {};
}

expected<void> work(const join_options& options, const extensions& more, event_writer& events) {
  const auto factory = standard_factory(more);
  system_config config(std::max(1u, options.compute_threads));
  caf::actor_system system(config);
  auto coordinator = find_coordinator(system, options.head);
  if (!coordinator) return tl::unexpected(coordinator.error());
  const connection_watch connections(options.head.port);
  caf::scoped_actor self{system};
  const auto here = caf::actor_cast<caf::actor>(self);
  refusal_watch refusals(system, [here](const std::string& line) { caf::anon_send(here, line); });
  expected<parts> given = fail(error_code::unavailable,
                               "[join] the head did not answer; is the run still going?");
  welcome seat;
  head_directory directory;
  self->request(*coordinator, answer_deadline, request_of(options, more.libraries))
    .receive(
      [&](welcome& w, head_directory& d) {
        seat = std::move(w);
        directory = std::move(d);
        given = read_welcome(seat, factory, more);
      },
      [&](caf::error& e) { given = fail(error_code::mismatch, reason_of(e, options.config)); });
  if (!given) return tl::unexpected(given.error());

  auto place = make_workplace({options.compute_threads, given->config.intra_op_threads, options.waiting,
                               given->delay_ms_max, options.slowness},
                              more.libraries);
  place.run_failed = [here, term = seat.term](const error& why) {
    caf::anon_send(here, refusal{{term, 0, 0, 0}, why.text});
  };
  auto& office = *place.office;
  office.enter_optimizer(directory.optimizer);
  office.enter_coordinator(*coordinator);
  for (std::size_t r = 0; r < directory.routers.size(); ++r)
    office.enter_router(static_cast<replica_id>(r), directory.routers[r]);
  const host_settings settings{
    seat.term, seat.node, given->config.model.owners_per_layer(), given->fresh, {}};
  const auto make = [&factory, config = given->config, shape = given->shape](owner_id owner, bool fresh) {
    return (fresh ? factory.make_expert : factory.make_unset_expert)(config, shape, owner);
  };
  const auto released = [here](const release& m) { caf::anon_send(here, m); };
  auto host = spawn_host(system, place, settings, make, released);
  office.enter_host(seat.node, host);
  self->monitor(*coordinator);
  self->send(*coordinator, ready{seat.term, seat.node}, host);
  events.write({{"event", "joined"}, {"node", seat.node}, {"name", seat.name}, {"run_id", seat.run_id}});

  farewell end{self, events, seat.term, seat.name};
  const auto result = await_release(end, *coordinator, options.head);
  caf::anon_send(host, retire{});
  office.close();
  return result;
}

} // namespace

expected<void> run_node(const join_options& options, const extensions& more, event_writer& events) {
  return catch_failures("node", [&] { return work(options, more, events); });
}

} // namespace troupe::node
