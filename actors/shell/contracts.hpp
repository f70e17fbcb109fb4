#pragma once

// The typed interface of every actor. The message lists are the documentation: what a role takes, from whom,
// is all that it can be sent.

#include "actors/transport/type_ids.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/result.hpp>
#include <caf/typed_actor.hpp>

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

namespace troupe {

/// A posted job of the actor has run.
struct job_done {
  std::uint64_t job = 0;
};

/// Time passes: sent by an actor to itself, a few times a second.
struct tick {};

/// Ends an actor in good order.
struct retire {};

/// A contract that takes these messages and answers none of them.
template <class... Messages>
struct takes {
  using handle = caf::typed_actor<caf::result<void>(Messages)...>;

  template <class Message>
  static constexpr bool accepts = (std::is_same_v<Message, Messages> || ...);
};

/// Drives one replica. From: optimizer (plan), loader (batch), hosts (combine, input gradient, refusal),
/// dense owner.
using router_contract =
  takes<plan, batch, combine, input_gradient, dense_parameters, refusal, job_done, tick, retire>;
using router_actor = router_contract::handle;

/// Makes microbatches, ahead of need where it is told. From: routers.
using loader_contract = takes<fetch, job_done, retire>;
using loader_actor = loader_contract::handle;

/// Owns schedule and step. From: coordinator (placement), hosts and dense owners (applied, norms), routers
/// (reports).
using optimizer_contract = takes<placement_change, applied, norm_report, replica_report, tick, retire>;
using optimizer_actor = optimizer_contract::handle;

/// Owns a stage's dense parameters. From: optimizer (plan, commit), routers (lane gradients), coordinator
/// (states).
using dense_contract =
  takes<plan, commit, dense_gradient, owner_state, state_received, state_request, job_done, tick, retire>;
using dense_actor = dense_contract::handle;

/// One expert. From: the host of its node.
using expert_contract = takes<expert_plan, commit, expert_forward, expert_backward, owner_state,
                              state_received, state_request, job_done, tick, retire>;
using expert_actor = expert_contract::handle;

/// A node's front door. From: optimizer (plan, commit), routers (bundles), coordinator (states, release), its
/// experts.
using host_contract =
  takes<plan, commit, dispatch, gradient, owner_state, state_received, state_request, release, expert_output,
        expert_input_gradient, applied, norm_report, refusal, tick, retire>;
using host_actor = host_contract::handle;

struct head_directory;

/// Client → coordinator: how does the run stand? Answered with JSON.
struct status_request {};

/// Client → coordinator: this node (name or number) shall hand its experts over and leave. Answered with its
/// number.
struct drain_request {
  std::string node;
};

/// Head → coordinator: collect every owner's state at this version.
struct collect_states {
  std::uint64_t version = 0;
};

/// Head → coordinator: the run is over, let every node go.
struct end_run {
  std::string reason;
  parting how = parting::finished;
};

/// Owns membership. The published actor: nodes join, people ask, nodes leave through it.
using coordinator_actor = caf::typed_actor<
  caf::result<welcome, head_directory>(join_request), caf::result<void>(ready, host_actor),
  caf::result<std::string>(status_request), caf::result<node_id>(drain_request),
  caf::result<void>(placement_settled), caf::result<void>(owner_state), caf::result<void>(state_received),
  caf::result<void>(refusal), caf::result<void>(collect_states), caf::result<void>(end_run),
  caf::result<void>(tick), caf::result<void>(retire)>;

struct coordinator_contract {
  template <class Message>
  static constexpr bool accepts =
    std::is_same_v<
      Message,
      placement_settled> || std::is_same_v<Message, owner_state> || std::is_same_v<Message, state_received> || std::is_same_v<Message, refusal>;
};

/// Whom a node's actors talk to in the head.
struct head_directory {
  optimizer_actor optimizer;
  std::vector<router_actor> routers;
};

template <class Inspector>
bool inspect(Inspector& f, status_request& x) {
  return f.object(x).fields();
}

template <class Inspector>
bool inspect(Inspector& f, drain_request& x) {
  return f.object(x).fields(f.field("node", x.node));
}

template <class Inspector>
bool inspect(Inspector& f, head_directory& x) {
  return f.object(x).fields(f.field("optimizer", x.optimizer), f.field("routers", x.routers));
}

} // namespace troupe

CAF_BEGIN_TYPE_ID_BLOCK(troupe_actors, caf::id_block::troupe::end)

CAF_ADD_TYPE_ID(troupe_actors, (troupe::job_done))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::tick))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::retire))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::status_request))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::drain_request))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::collect_states))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::end_run))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::router_actor))
CAF_ADD_TYPE_ID(troupe_actors, (std::vector<troupe::router_actor>))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::optimizer_actor))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::host_actor))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::coordinator_actor))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::head_directory))

CAF_END_TYPE_ID_BLOCK(troupe_actors)

// Between actors of one process only: nobody else may end a run, or an actor.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::job_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::retire)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::collect_states)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::end_run)
