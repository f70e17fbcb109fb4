#include "launcher/node/system.hpp"

#include "launcher/node/address_trial.hpp"

#include <caf/init_global_meta_objects.hpp>
#include <caf/io/middleman.hpp>

#include <future>
#include <memory>
#include <thread>

namespace troupe::node {

void initialise_caf() {
  caf::init_global_meta_objects<caf::id_block::troupe>();
  caf::init_global_meta_objects<caf::id_block::troupe_actors>();
  caf::io::middleman::init_global_meta_objects();
  caf::core::init_global_meta_objects();
}

system_config::system_config(std::size_t threads) {
  load<caf::io::middleman>();
  set("caf.scheduler.policy", "sharing");
  set("caf.scheduler.max-threads", threads);
  set("caf.scheduler.max-throughput", std::size_t{16});
  set("caf.middleman.workers", std::size_t{0});
  // CAF takes a connection that is being made for one that has been silent for ever: the next heartbeat ends
  // it. So the interval is also how long a busy head may take to greet who joins it.
  set("caf.middleman.heartbeat-interval", caf::timespan{std::chrono::seconds(5)});
  // Messages travel whole: a state on a slow line holds heartbeats up. Who vanishes is seen by
  // `connection_watch`.
  set("caf.middleman.connection-timeout", caf::timespan{std::chrono::seconds(30)});
  set("caf.logger.console.verbosity", "quiet");
  set("caf.logger.file.verbosity", "quiet");
}

expected<coordinator_actor> find_coordinator(caf::actor_system& system, const launcher::address& where) {
  const auto place = where.text();
  auto promise = std::make_shared<std::promise<caf::expected<coordinator_actor>>>();
  auto answer = promise->get_future();
  std::thread([&system, promise, where] {
    promise->set_value(system.middleman().remote_actor<coordinator_actor>(where.host, where.port));
  }).detach(); // a host that accepts and never answers would hold us for ever
  if (answer.wait_for(answer_deadline) != std::future_status::ready)
    return fail(error_code::unavailable, "[head] " + place + ": no answer within "
                                           + std::to_string(answer_deadline.count())
                                           + " s; is it a troupe head that listens there?");
  auto found = answer.get();
  if (!found)
    return fail(error_code::unavailable, "[head] " + place + ": cannot be reached ("
                                           + or_words_of(why_not_connect(where), found.error())
                                           + "); check the address and that the run is still going");
  return std::move(*found);
}

std::string or_words_of(std::string reason, const caf::error& e) {
  return reason.empty() ? to_string(e) : reason;
}

std::string text_of(const caf::error& e) {
  if (e.context().size() == 1 && e.context().match_element<std::string>(0))
    return e.context().get_as<std::string>(0);
  return to_string(e);
}

fingerprint own_fingerprint(const numerics_libraries& libraries) {
  fingerprint result;
  std::thread([&] {
    prepare_compute_thread(libraries, 1);
    result = numerics_fingerprint(libraries);
  }).join();
  return result;
}

workplace make_workplace(const workplace_options& options, const numerics_libraries& libraries) {
  workplace result;
  result.office = std::make_shared<post_office>(options.delay_ms_max);
  result.prepare_thread = [libraries, threads = options.intra_op_threads] {
    prepare_compute_thread(libraries, threads);
  };
  result.pool = std::make_shared<compute_pool>(options.compute_threads, result.prepare_thread);
  result.slowness = options.slowness;
  result.message_came = [cores = std::make_shared<wakefulness>(options.waiting)] { cores->stir(); };
  result.now_us = [] {
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
  };
  return result;
}

} // namespace troupe::node
