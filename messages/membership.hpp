#pragma once

#include "messages/ids.hpp"
#include "messages/tensor.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// Node → coordinator: asks to take part. Everything named is compared before the node is let in.
struct join_request {
  std::uint32_t protocol = 0;     ///< `protocol_version`
  std::string name;               ///< what people call the node; empty, or taken: the coordinator gives one
  std::string fingerprint;        ///< numerics fingerprint, hex
  std::string fingerprint_text;   ///< versions and instruction set behind it, for the error text
  std::string run_id;             ///< empty: any run
  std::string configuration_hash; ///< empty: takes the run's configuration as it comes
  std::uint32_t process = 0;      ///< process id, for status
  std::uint32_t compute_threads = 1;
  std::string host; ///< name of the machine, for status
};

/// Coordinator → node: let in. `configuration` is the run's configuration as JSON.
struct welcome {
  term_id term;
  node_id node = 0;
  std::string run_id;
  std::string configuration;
  std::string name; ///< by which people call the node from now on
};

/// Node → coordinator: modules are built, experts may come.
struct ready {
  term_id term;
  node_id node = 0;
};

/// Coordinator → optimizer: from the next plan on, experts live here and plans go to these nodes.
struct placement_change {
  term_id term;
  std::uint64_t version = 0;
  std::vector<node_id> placement; ///< node of each expert owner
  std::vector<node_id> nodes;     ///< all hosts that must see plans, those about to leave included
};

/// Optimizer → coordinator: every owner has applied a step under this placement, so the old owners are not
/// needed.
struct placement_settled {
  term_id term;
  std::uint64_t version = 0;
};

/// `owner_state::to` of a state that the coordinator asked for itself.
constexpr node_id collected = 0xffff;

/// State of one owner: parameters, optimizer state and counters as the module wrote them (u8).
struct owner_state {
  term_id term;
  owner_id owner;
  std::uint64_t version = 0; ///< steps applied
  node_id to = 0;            ///< host that takes over; the head relays
  node_id from = 0;
  tensor state;
};

/// New host → old host (relayed): the state has arrived.
struct state_received {
  term_id term;
  owner_id owner;
  std::uint64_t version = 0;
  node_id to = 0; ///< the old host
};

/// Coordinator → hosts: send the state of your owners at this version (to save or to digest).
struct state_request {
  term_id term;
  std::uint64_t version = 0;
};

/// How a node and its run part: its experts have moved, or the run has ended in one of three ways.
enum class parting : std::uint8_t { drained, finished, interrupted, failed };

/// Coordinator → node: you may go.
struct release {
  term_id term;
  std::string reason;
  parting how = parting::drained;
};

} // namespace troupe
