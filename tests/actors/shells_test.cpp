// What CAF shells add to their cores: terms at the door, and the end of the run where something throws.

#include "actors/shell/actors.hpp"
#include "model/run_failure.hpp"
#include "tests/actors/caf_types.hpp"
#include "tests/actors/support.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>

#include <catch2/catch_test_macros.hpp>

#include <future>
#include <new>
#include <stdexcept>
#include <tuple>

using namespace troupe;
using namespace troupe::test;

namespace {

caf::actor_system_config& configuration_of_caf() {
  register_types();
  static caf::actor_system_config config;
  return config.set("caf.scheduler.max-threads", std::size_t{1});
}

/// Something that an actor says once, on a thread of its own.
class heard_line {
public:
  std::function<void(std::string)> hear() {
    return [this](std::string line) { promise_.set_value(std::move(line)); };
  }

  std::string wait() { return promise_.get_future().get(); }

private:
  std::promise<std::string> promise_;
};

workplace failing_into(heard_line& line) {
  workplace place;
  place.office = std::make_shared<post_office>();
  place.run_failed = [hear = line.hear()](const error& why) { hear(why.text); };
  return place;
}

} // namespace

TEST_CASE("a host is released under its own term only", "[unit]") {
  heard_line complaint, farewell, failure; // outlive the actors
  caf::actor_system system(configuration_of_caf());
  refusal_watch watch(system, complaint.hear());
  const auto host = spawn_host(system, failing_into(failure), {term, 1, 3, true, {}}, {},
                               [hear = farewell.hear()](const release& m) { hear(m.reason); });
  caf::anon_send(host, release{old_term, "says a stranger"});
  CHECK(complaint.wait() == "refused a message: [host] release: got another term than the run's");
  caf::anon_send(host, release{term, "the run is over"});
  CHECK(farewell.wait() == "the run is over"); // the first that it heard
  caf::anon_send(host, retire{});
}

TEST_CASE("an expert that cannot be made ends the run, whether it throws or says so", "[unit]") {
  const auto says = [](owner_id, bool) -> expected<std::unique_ptr<expert_module>> {
    return fail(error_code::unavailable, "no room");
  };
  const auto throws = [](owner_id, bool) -> expected<std::unique_ptr<expert_module>> {
    throw std::runtime_error("no such weights");
  };
  for (const auto& [make, text] : {std::pair{expert_maker(says), "no room"},
                                   {expert_maker(throws), "[host] exception: no such weights"}}) {
    heard_line failure;
    caf::actor_system system(configuration_of_caf());
    const auto host = spawn_host(system, failing_into(failure), {term, 1, 1, true, {}}, make, {});
    caf::anon_send(host, make_plan(0, {0}, {1}));
    CHECK(failure.wait() == text);
    caf::anon_send(host, retire{});
  }
}

TEST_CASE("experts of the first plan are made fresh, experts of later plans for their state", "[unit]") {
  for (const auto& [fresh_start, version, made] :
       {std::tuple{true, 1u, "fresh"}, {true, 2u, "for its state"}, {false, 1u, "for its state"}}) {
    heard_line failure;
    caf::actor_system system(configuration_of_caf());
    const auto make = [](owner_id, bool fresh) -> expected<std::unique_ptr<expert_module>> {
      return fail(error_code::unavailable, fresh ? "fresh" : "for its state");
    };
    const auto host = spawn_host(system, failing_into(failure), {term, 1, 1, fresh_start, {}}, make, {});
    auto p = make_plan(0, {0}, {1});
    p.placement_version = version;
    caf::anon_send(host, p);
    CHECK(failure.wait() == made);
    caf::anon_send(host, retire{});
  }
}

TEST_CASE("whatever a job throws ends the run in one line that names the actor", "[unit]") {
  std::vector<std::string> lines;
  workplace place;
  place.run_failed = [&](const error& why) { lines.push_back(why.text); };
  CHECK(run_job(place, "expert 3", [] {}));
  CHECK_FALSE(run_job(place, "expert 3", [] { throw run_failure({error_code::malformed, "[trunk] bad"}); }));
  CHECK_FALSE(run_job(place, "expert 3", [] { throw std::runtime_error("two\nlines"); }));
  CHECK_FALSE(run_job(place, "expert 3", [] { throw std::bad_alloc(); }));
  CHECK_FALSE(run_job(place, "expert 3", [] { throw 7; }));
  CHECK(lines
        == std::vector<std::string>{
          "[trunk] bad", "[expert 3] exception: two lines",
          "[expert 3] not enough memory for it; use a smaller model, smaller batches or more machines",
          "[expert 3] exception: of unknown type"});
}
