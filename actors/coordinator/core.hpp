#pragma once

#include "actors/outbox.hpp"
#include "messages/error.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

enum class node_state : std::uint8_t { joining, active, draining, released, lost };

std::string to_string(node_state s);

/// A node as the coordinator knows it.
struct node_record {
  node_id id = 0;
  std::string name;
  std::string place; ///< where it is, for people: host and process
  std::uint32_t compute_threads = 1;
  node_state state = node_state::joining;
};

/// Something about a node that people and shells want to know.
struct node_event {
  node_id node = 0;
  std::string name;
  node_state state = node_state::joining;
  std::string reason;
};

/// Why a node is not let in.
struct join_refusal : error {
  join_refusal(error why) : error(std::move(why)) {} // what every check returns

  /// JSON, if the node expected another: told with the reason, as to nodes that are let in.
  std::string configuration_of_run = {};
};

struct coordinator_settings {
  term_id term;
  std::string run_id;
  std::string configuration; ///< JSON, sent to nodes that join
  std::string configuration_hash;
  std::string fingerprint; ///< of this process; nodes must have the same
  std::string fingerprint_text;
  std::uint16_t layers = 1;
  std::uint32_t experts = 0;        ///< owners per layer, the shared expert included
  std::uint32_t nodes_expected = 0; ///< the run starts once so many nodes are ready; 0: this process hosts
                                    ///< the experts
};

/// Owns membership and placement. Relays what nodes send each other. Decides nothing by the clock.
class coordinator_core {
public:
  explicit coordinator_core(coordinator_settings settings);

  /// Starts a run without nodes: this process (node 0) hosts all experts.
  void start_alone(outbox& out);

  /// Lets a node in, or says why not and what to do about it.
  tl::expected<welcome, join_refusal> join(const join_request& m, std::string place);

  /// Whether `m` comes from a node that was let in and has not been heard of since.
  bool awaits(const ready& m) const;

  /// The node has built its modules. The first `nodes_expected` of them start the run, later ones get their
  /// share of the experts through a plan.
  void receive(const ready& m, outbox& out);

  /// Asks a node to hand its experts over and leave. `node`: its name or number.
  expected<node_id> drain(const std::string& node, outbox& out);

  /// The node's process or connection is gone. One that was not ready yet is forgotten, and one that has no
  /// expert's state is done without. With any other its experts' state is lost: returns the error with which
  /// the run ends.
  expected<void> lost(node_id node, const std::string& reason, outbox& out);

  /// Members without which the run can go on: no expert is theirs, none moves to or from them.
  std::vector<node_id> idle() const;

  /// The node that hosts an expert.
  node_id host_of(const owner_id& expert) const {
    return placement_[expert.layer * settings_.experts + expert.expert];
  }

  void receive(const placement_settled& m, outbox& out);
  void receive(const owner_state& m, outbox& out);
  void receive(const state_received& m, outbox& out);

  std::vector<node_event> take_events();

  /// States collected so far (see `state_request`).
  const std::map<owner_id, tensor>& collected_states() const noexcept { return collected_; }

  void forget_collected() { collected_.clear(); }

  const std::map<node_id, node_record>& nodes() const noexcept { return nodes_; }

  const std::vector<node_id>& placement() const noexcept { return placement_; }

  bool started() const noexcept { return version_ > 0; }
  /// How many more nodes must be ready before the run starts.
  std::size_t nodes_awaited() const;

private:
  tl::expected<void, join_refusal> admissible(const join_request& m) const;
  join_refusal other_configuration(const join_request& m) const;
  std::vector<node_id> with_state(node_state s) const;
  bool hosts_experts(node_id node) const;
  bool idles(const node_record& n) const;
  void note(const node_record& n, std::string reason);
  void rearrange(outbox& out);

  coordinator_settings settings_;
  std::map<node_id, node_record> nodes_;
  node_id next_node_ = 1;
  std::vector<node_id> placement_;
  std::vector<node_id> placement_before_; ///< where experts come from in the change under way
  std::uint64_t version_ = 0;
  bool settled_ = true; ///< no change of placement is under way
  bool change_wanted_ = false;
  std::vector<node_event> events_;
  std::map<owner_id, tensor> collected_;
};

} // namespace troupe
