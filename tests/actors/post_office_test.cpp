#include "actors/shell/post_office.hpp"
#include "tests/actors/caf_types.hpp"

#include <caf/actor_cast.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/after.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/forwarding_actor_proxy.hpp>
#include <caf/make_actor.hpp>
#include <caf/message_id.hpp>
#include <caf/node_id.hpp>
#include <caf/scoped_actor.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <string>

using namespace troupe;

namespace {

constexpr term_id term{7, 1};

/// A system whose other end of the wire is this process: what would be written to host 1's connection comes
/// to `wire`, what is for the coordinator to `coordinator`.
struct one_host_far_away {
  one_host_far_away() : system(prepared()), wire(system), coordinator(system) {
    const auto elsewhere = caf::make_node_id(42, std::string(40, 'a'));
    REQUIRE(elsewhere);
    caf::actor_config actor;
    const auto proxy = caf::make_actor<caf::forwarding_actor_proxy, caf::strong_actor_ptr>(
      11, *elsewhere, &system, actor, caf::actor_cast<caf::actor>(wire));
    office.enter_host(1, caf::actor_cast<host_actor>(proxy));
    office.enter_coordinator(caf::actor_cast<coordinator_actor>(caf::actor_cast<caf::actor>(coordinator)));
  }

  caf::actor_system_config& prepared() {
    test::register_types();
    return config;
  }

  std::size_t states_on_the_wire() {
    std::size_t result = 0;
    bool more = true;
    while (more)
      wire->receive([&](caf::forward_atom, const caf::strong_actor_ptr&,
                        const std::vector<caf::strong_actor_ptr>&, const caf::strong_actor_ptr&,
                        caf::message_id,
                        const caf::message& m) { result += m.match_elements<owner_state>(); },
                    caf::after(std::chrono::seconds(0)) >> [&] { more = false; });
    return result;
  }

  std::string refused() {
    std::string result;
    coordinator->receive(
      [&](const refusal& m) {
        CHECK(m.id.term == term);
        result = m.reason;
      },
      caf::after(std::chrono::seconds(0)) >> [] { /* nothing was refused */ });
    return result;
  }

  caf::actor_system_config config;
  caf::actor_system system;
  caf::scoped_actor wire;
  caf::scoped_actor coordinator;
  post_office office;
};

/// A state of so many bytes, of which only the first exists: nothing reads them.
owner_state state_of(std::size_t bytes) {
  static const std::byte first{};
  const auto data = blob::borrow(nullptr, &first, bytes);
  return {term, {0, 3, 0}, 5, 1, 2, tensor(dtype::u8, {static_cast<std::int64_t>(bytes)}, data)};
}

} // namespace

TEST_CASE("a message too large for one piece ends the run by name and is not sent", "[unit]") {
  one_host_far_away company;
  company.office.deliver({host_address(1), state_of(std::size_t{1} << 30)}); // and a header
  CHECK(company.states_on_the_wire() == 0);
  const auto reason = company.refused();
  INFO(reason);
  CHECK(reason.starts_with("[send troupe::owner_state] message bytes: got 10737"));
  CHECK(reason.find("limit 1073741824 (message_bytes_max); choose smaller experts") != std::string::npos);
}

TEST_CASE("a message that fits leaves for the other process", "[unit]") {
  one_host_far_away company;
  company.office.deliver({host_address(1), state_of(1)});
  CHECK(company.states_on_the_wire() == 1);
  CHECK(company.refused().empty());
}
