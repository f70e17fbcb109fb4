#include "launcher/node/join.hpp"

#include "launcher/node/system.hpp"
#include "model/factory.hpp"

#include <caf/after.hpp>
#include <caf/scoped_actor.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>

#include <unistd.h>

namespace troupe::node {

namespace {

struct parts {
  configuration config;
  model_shape shape;
  bool fresh = true;
  std::uint32_t delay_ms_max = 0;
};

/// What the welcome's configuration says, checked as if a stranger had written it.
expected<parts> read_welcome(const welcome& w, const model_factory& factory, const extensions& more) {
  parts result;
  const auto json = nlohmann::json::parse(w.configuration, nullptr, false);
  if (!json.is_object() || !json.contains("configuration") || !json.contains("run") || !json.contains("fresh")
      || !json["fresh"].is_boolean())
    return fail(error_code::malformed, "[join] configuration: the head sent something else");
  auto config = configuration_from_json(json["configuration"].dump());
  if (!config) return tl::unexpected(config.error());
  auto run = run_options_from_json(json["run"].dump());
  if (!run) return tl::unexpected(run.error());
  if (auto ok = validate(*config, *run, more); !ok) return tl::unexpected(ok.error());
  auto shape = shape_without_files(*config, factory);
  if (!shape) return tl::unexpected(shape.error());
  return parts{*config, *shape, json["fresh"].get<bool>(), run->message_delay_ms_max};
}

join_request request_of(const join_options& options) {
  join_request r;
  const auto f = own_fingerprint();
  r.protocol = protocol_version;
  r.name = options.name;
  r.fingerprint = f.hex;
  r.fingerprint_text = f.text;
  r.run_id = options.run_id;
  r.configuration_hash = options.configuration_hash;
  r.process = static_cast<std::uint32_t>(::getpid());
  r.compute_threads = options.compute_threads;
  return r;
}

/// Waits until the node may go; false: the head is gone.
bool await_release(caf::scoped_actor& self, event_writer& events) {
  bool released = false;
  bool connected = true;
  while (!released && connected)
    self->receive([&](const release&) { released = true; }, [&](const caf::down_msg&) { connected = false; },
                  [&](const std::string& warning) {
                    events.write({{"event", "warning"}, {"text", warning}});
                  });
  // The release comes through the host, which may be computing: the end of the connection overtakes it.
  if (!released)
    self->receive([&](const release&) { released = true; },
                  caf::after(std::chrono::seconds(1)) >> [] { /* it never came */ });
  return released;
}

} // namespace

expected<void> run_node(const join_options& options, const extensions& more, event_writer& events) {
  const auto factory = standard_factory(more);
  system_config config(std::max(1u, options.compute_threads));
  caf::actor_system system(config);
  auto coordinator = find_coordinator(system, options.head);
  if (!coordinator) return tl::unexpected(coordinator.error());
  caf::scoped_actor self{system};
  const auto here = caf::actor_cast<caf::actor>(self);
  refusal_watch refusals(system, [here](const std::string& line) { caf::anon_send(here, line); });
  expected<parts> given = fail(error_code::unavailable,
                               "[join] the head did not answer; is the run still going?");
  welcome seat;
  head_directory directory;
  self->request(*coordinator, answer_deadline, request_of(options))
    .receive(
      [&](welcome& w, head_directory& d) {
        seat = std::move(w);
        directory = std::move(d);
        given = read_welcome(seat, factory, more);
      },
      [&](caf::error& e) { given = fail(error_code::mismatch, text_of(e)); });
  if (!given) return tl::unexpected(given.error());

  const auto place = make_workplace(options.compute_threads, given->config.intra_op_threads,
                                    given->delay_ms_max, options.slowness);
  auto& office = *place.office;
  office.enter_optimizer(directory.optimizer);
  office.enter_coordinator(*coordinator);
  for (std::size_t r = 0; r < directory.routers.size(); ++r)
    office.enter_router(static_cast<replica_id>(r), directory.routers[r]);
  const host_settings settings{
    seat.term, seat.node, given->config.model.owners_per_layer(), given->fresh, {}};
  const auto make = [&factory, config = given->config, shape = given->shape](owner_id owner) {
    return factory.make_expert(config, shape, owner);
  };
  const auto released = [here, term = seat.term](const std::string& reason) {
    caf::anon_send(here, release{term, reason});
  };
  auto host = spawn_host(system, place, settings, make, released);
  office.enter_host(seat.node, host);
  self->monitor(*coordinator);
  self->send(*coordinator, ready{seat.term, seat.node}, host);
  events.write({{"event", "joined"}, {"node", seat.node}, {"run_id", seat.run_id}});

  const auto let_go = await_release(self, events);
  caf::anon_send(host, retire{});
  office.close();
  if (let_go) return {};
  return fail(error_code::unavailable, "[node] the connection to the head at " + options.head.text()
                                         + " ended before the node was released");
}

} // namespace troupe::node
