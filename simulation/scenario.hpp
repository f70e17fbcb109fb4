#pragma once

#include "actors/mutations.hpp"
#include "actors/outbox.hpp"
#include "model/configuration.hpp"
#include "simulation/ledger.hpp"

#include <optional>
#include <string>
#include <vector>

namespace troupe::simulation {

/// Simulated time, in no particular unit: a message takes a few tens, a job a few.
using instant = std::uint64_t;

/// What the network between nodes does to messages. Inside a node nothing gets lost or overtakes.
struct network_faults {
  double lose = 0;
  double duplicate = 0;
  double linger = 0; ///< chance that a message, or its duplicate, comes very late
  double stale = 0;  ///< chance that an earlier incarnation's message of the same kind comes beside it
  instant delay_min = 1;
  instant delay_max = 20;
  instant linger_max = 2000; ///< several steps
};

/// Somebody joins, is asked to leave, or dies, some time after a step's plan was issued.
struct membership_event {
  enum class kind { joins, leaves, dies };

  std::uint64_t step = 0;
  instant delay = 0;
  kind what = kind::joins;
  word draw = 0; ///< which node leaves, or which of those without experts dies
};

/// One run of the cluster, down to the last draw: a pure function of the seed and what the caller fixed.
struct scenario {
  word seed = 0;
  configuration config;
  std::uint16_t layers = 1;
  std::uint64_t train_rows = 0;
  std::uint64_t test_rows = 0;
  std::uint32_t replicas = 2;
  std::uint32_t in_flight = 1;
  std::uint32_t nodes = 4;    ///< when the run starts; 0: the head hosts the experts
  bool routers_apart = false; ///< each router is a node of its own, otherwise both live in the head
  bool learn_inputs = false;
  bool wire = true; ///< messages between nodes are encoded and decoded
  routing_rule routing;
  network_faults network;
  std::vector<membership_event> membership;
  instant job_max = 8;         ///< longest job
  double small_jobs = 0;       ///< share of jobs that are done in place if none waits
  std::optional<node_id> slow; ///< this node's jobs take five times as long
  tick_count resend_after = 4;
  mutations defects;

  std::uint32_t owners() const noexcept { return layers * config.model.experts + 1; }
};

/// What the caller wants instead of what the seed says.
struct scenario_wishes {
  std::optional<std::uint16_t> layers;
  std::optional<std::uint32_t> nodes;
  std::optional<std::uint32_t> replicas;
  std::optional<std::uint32_t> in_flight;
  std::optional<std::uint64_t> updates;
  std::optional<bool> wire;
  bool quiet_network = false; ///< no faults
  bool fixed_members = false; ///< nobody joins or leaves
  mutations defects;
};

scenario draw_scenario(word seed, const scenario_wishes& wishes = {});

/// One line for people: sizes, faults, membership.
std::string to_string(const scenario& s);

/// Names of the deliberate defects, and the switch of one. Nothing if there is no such defect.
const std::vector<std::string>& mutation_names();
std::optional<mutations> mutation_named(const std::string& name);

} // namespace troupe::simulation
