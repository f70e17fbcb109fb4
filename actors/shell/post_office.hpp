#pragma once

#include "actors/outbox.hpp"
#include "actors/shell/contracts.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <shared_mutex>
#include <vector>

namespace troupe {

/// Knows the actor behind every address, as far as this process talks to it. One per process, shared by its
/// actors.
///
/// Threading: all members may be called from any thread. A letter for nobody is dropped: its sender sends
/// again or has been told by the coordinator. Of a letter to another process that is over `limits`, the
/// coordinator that was entered gets a refusal, which ends the run (`send_failure_listener`).
class post_office {
public:
  /// `delay_ms_max` > 0 holds every letter that could cross the network back for a random time (testing).
  explicit post_office(std::uint32_t delay_ms_max = 0);

  void enter_optimizer(optimizer_actor a);
  void enter_loader(loader_actor a);
  void enter_coordinator(coordinator_actor a);
  void enter_router(replica_id replica, router_actor a);
  void enter_dense(std::uint16_t stage, dense_actor a);
  void enter_host(node_id node, host_actor a);
  void enter_expert(owner_id owner, expert_actor a);
  void forget_expert(owner_id owner);
  void forget_host(node_id node);

  /// Drops every handle, so that no actor keeps another alive.
  void close();

  void deliver(envelope letter) const;

  /// The hosts that are entered: of all nodes, where the coordinator lives.
  std::vector<host_actor> hosts() const;

private:
  template <class Contract, class Handle>
  void hand_over(const Handle& to, message& body) const;

  std::uint32_t delay_ms_max_;
  mutable std::shared_mutex mutex_;
  optimizer_actor optimizer_;
  loader_actor loader_;
  coordinator_actor coordinator_;
  std::map<replica_id, router_actor> routers_;
  std::map<std::uint16_t, dense_actor> dense_;
  std::map<node_id, host_actor> hosts_;
  std::map<owner_id, expert_actor> experts_;
};

} // namespace troupe
