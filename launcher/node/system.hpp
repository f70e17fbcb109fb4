#pragma once

#include "actors/shell/actors.hpp"
#include "launcher/address.hpp"
#include "launcher/node/wakefulness.hpp"
#include "messages/error.hpp"
#include "model/numerics.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>

#include <chrono>
#include <cstdint>
#include <string>

namespace troupe::node {

/// Registers all message types with CAF. Before the first actor system, once per process.
void initialise_caf();

/// One I/O thread, a small scheduler of `threads`, explicit heartbeats. Loopback only unless told otherwise.
class system_config : public caf::actor_system_config {
public:
  explicit system_config(std::size_t threads);
};

/// How long clients and joining nodes wait for an answer from the head.
constexpr std::chrono::seconds answer_deadline{10};

/// The coordinator at `where`. Blocks, at most `answer_deadline`.
expected<coordinator_actor> find_coordinator(caf::actor_system& system, const launcher::address& where);

/// `reason`, or what CAF calls the error if there is none.
std::string or_words_of(std::string reason, const caf::error& e);

/// The text of a CAF error that one of our actors made, or CAF's own words.
std::string text_of(const caf::error& e);

/// The numerics fingerprint of this process, run with one intra-op thread on a thread set up for computing,
/// so that it does not depend on who asks.
fingerprint own_fingerprint(const numerics_libraries& libraries);

struct workplace_options {
  std::uint32_t compute_threads = 1;
  std::uint32_t intra_op_threads = 1;
  wait_policy waiting = wait_policy::active;
  std::uint32_t delay_ms_max = 0; ///< testing: random delivery delays
  double slowness = 1;            ///< testing: every job takes this many times as long
};

/// Compute pool, post office and thread set-up of this process.
workplace make_workplace(const workplace_options& options, const numerics_libraries& libraries);

} // namespace troupe::node
