#pragma once

// How to hire the company: one function per role. Each spawns a thin shell around the role's core.

#include "actors/coordinator/core.hpp"
#include "actors/host/core.hpp"
#include "actors/loader/core.hpp"
#include "actors/optimizer/core.hpp"
#include "actors/owner/owner_core.hpp"
#include "actors/router/core.hpp"
#include "actors/shell/contracts.hpp"
#include "actors/shell/driver.hpp"
#include "model/expert.hpp"
#include "model/trunk.hpp"

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// Between two ticks: a message is sent again after `resend_after` of them.
constexpr std::chrono::milliseconds tick_interval{250};

/// What the head's main thread wants to hear. Called on scheduler threads: hand over and return.
struct head_observer {
  std::function<void(step_summary)> step_ended;
  std::function<void(std::uint64_t version)> steps_exhausted;
  std::function<void(const node_event&)> node_changed;
  std::function<void(const std::vector<std::string>& names)> nodes_idle; ///< all without which the run can go
                                                                         ///< on now
  std::function<void(const error&)> run_failed;
  std::function<void(const std::map<owner_id, tensor>&)> states_collected;
};

/// Makes an expert's module in the process that hosts it. Not `fresh`: its state arrives before its work.
using expert_maker = std::function<expected<std::unique_ptr<expert_module>>(owner_id, bool fresh)>;

router_actor spawn_router(caf::actor_system& system, const workplace& place, router_settings settings,
                          std::unique_ptr<trunk_module> trunk);

loader_actor spawn_loader(caf::actor_system& system, const workplace& place, loader_settings settings,
                          std::shared_ptr<const data_source> data);

dense_actor spawn_dense(caf::actor_system& system, const workplace& place, owner_settings settings,
                        std::unique_ptr<dense_module> module, replica_id replicas);

optimizer_actor spawn_optimizer(caf::actor_system& system, const workplace& place,
                                optimizer_settings settings, head_observer observer);

/// `released` is called when the coordinator lets the node go.
host_actor spawn_host(caf::actor_system& system, const workplace& place, host_settings settings,
                      expert_maker make_expert, std::function<void(const release&)> released);

expert_actor spawn_expert(caf::actor_system& system, const workplace& place, owner_settings settings,
                          std::unique_ptr<expert_module> module);

/// What a node's experts get and give, per second.
struct node_rates {
  double rows = 0;
  double bytes_in = 0;
  double bytes_out = 0;
};

/// What only the head's main thread knows of a run.
struct run_progress {
  std::string text = "{}";             ///< JSON
  std::map<node_id, node_rates> rates; ///< empty before the second step
};

struct coordinator_staff {
  head_directory directory;                  ///< told to nodes that join
  std::map<owner_id, tensor> initial_states; ///< sent to the experts at the start; empty: they initialise
                                             ///< themselves
  std::size_t owners = 0;                    ///< how many states make a collection
  std::uint64_t states_bytes = 0;            ///< what they weigh, about
  std::function<run_progress()> progress;
};

/// Registers `refusal_listener` with the system for as long as it lives, and says in a few lines which
/// messages of other processes were refused. `say` is called on a scheduler thread: hand over and return.
class refusal_watch {
public:
  refusal_watch(caf::actor_system& system, std::function<void(std::string line)> say);
  ~refusal_watch();

  refusal_watch(const refusal_watch&) = delete;
  refusal_watch& operator=(const refusal_watch&) = delete;

private:
  caf::actor_system& system_;
  caf::actor listener_;
};

/// Tells this process's `refusal_watch`, if there is one, that an actor refused a message.
void tell_refused(caf::actor_system& system, std::string why);

coordinator_actor spawn_coordinator(caf::actor_system& system, const workplace& place,
                                    coordinator_settings settings, coordinator_staff staff,
                                    head_observer observer);

} // namespace troupe
