#pragma once

#include "messages/message.hpp"

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace troupe {

/// The roles that receive messages.
enum class role : std::uint8_t { optimizer, loader, router, host, dense, expert, coordinator };

/// Where a message goes. `index` is the replica of a router, the node of a host or expert, the stage of a
/// dense owner.
struct address {
  role who = role::optimizer;
  std::uint16_t index = 0;
  owner_id owner; ///< experts only

  auto operator<=>(const address&) const = default;
};

inline address optimizer_address() {
  return {role::optimizer, 0, {}};
}
inline address loader_address() {
  return {role::loader, 0, {}};
}
inline address coordinator_address() {
  return {role::coordinator, 0, {}};
}
inline address router_address(replica_id replica) {
  return {role::router, replica, {}};
}
inline address host_address(node_id node) {
  return {role::host, node, {}};
}
inline address dense_address(std::uint16_t stage) {
  return {role::dense, stage, {}};
}
inline address expert_address(node_id node, owner_id owner) {
  return {role::expert, node, owner};
}

struct envelope {
  address to;
  message body;
};

/// Work to be computed elsewhere. Jobs of one core run one at a time, in the order in which they were posted;
/// the shell then calls the core's `finished(id)`. A job touches only what it captured.
struct job {
  std::uint64_t id = 0;
  std::uint64_t priority = 0; ///< smaller first: earlier steps, then earlier microbatches
  double flops = 0;           ///< rough cost; the shell runs small jobs in place
  std::function<void()> work;
};

/// An expert that a host wants born or buried.
struct expert_change {
  owner_id owner;
  bool born = true;
  bool fresh = true; ///< born: starts from its initial parameters; otherwise waits for its state
};

/// What a core wants done: appended by the core, carried out and cleared by its shell.
struct outbox {
  std::vector<envelope> messages;
  std::vector<job> jobs;
  std::vector<expert_change> experts;

  void send(address to, message body) { messages.push_back({to, std::move(body)}); }

  void post(job work) { jobs.push_back(std::move(work)); }

  bool empty() const noexcept { return messages.empty() && jobs.empty() && experts.empty(); }
};

/// Time as cores know it: ticks processed. Time is used to suspect and to send again, never to decide.
using tick_count = std::uint64_t;

/// A job's priority: earlier steps first, then microbatches, then layers.
constexpr std::uint64_t priority_of(std::uint64_t step, std::uint32_t microbatch, std::uint16_t layer = 0) {
  return (step << 32) | (std::uint64_t{microbatch & 0xffffu} << 16) | layer;
}

} // namespace troupe
