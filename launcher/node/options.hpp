#pragma once

#include "launcher/address.hpp"
#include "launcher/node/wakefulness.hpp"
#include "model/configuration.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace troupe::node {

/// What `troupe-node head` was told.
struct head_options {
  configuration config;
  run_options run;
  bool listens = false;                     ///< others than the local nodes may join
  launcher::address listen{"127.0.0.1", 0}; ///< where nodes are taken, if there are any
  bool insecure = false;
  std::string run_id; ///< empty: drawn
  std::string save_directory;
  std::string model_directory; ///< start from these parameters (eval: measure them)
  std::string metrics_file;
  std::string bench_file;
  std::string predictions_file;
  bool print_digest = false;
  bool training = true;
  std::uint64_t log_interval = 100;
  int events_fd = -1;
};

/// What `troupe-node join` was told.
struct join_options {
  launcher::address head;
  std::string name;
  std::string run_id;
  std::optional<configuration> config; ///< join only a run with this one
  std::uint32_t compute_threads = 1;
  wait_policy waiting = wait_policy::active;
  double slowness = 1;
  bool insecure = false;
  int events_fd = -1;
};

} // namespace troupe::node
