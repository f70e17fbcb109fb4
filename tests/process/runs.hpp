#pragma once

#include "tests/support/process.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <vector>

#include <sys/types.h>

namespace troupe::test {

/// The built programs.
std::string program(const std::string& name);

/// `troupe train` on the awkward shape of the promise "same weights everywhere": 7 experts, 3 per token,
/// hidden width 50, SiLU with bias, 4 ragged microbatches in 3 lanes, batches so small that some experts get
/// 0 to 3 rows, clipping on.
std::vector<std::string> awkward_run(const std::vector<std::string>& more, int steps = 200);

/// Runs to its end (within two minutes) and returns the digest it printed; fails the test if there is none.
std::string digest_of_run(const std::vector<std::string>& command, const process_options& options = {});

/// The digest in a program's output, or an empty string.
std::string digest_in(const std::string& output);

/// The lines of a metrics file.
std::vector<nlohmann::json> read_metrics(const std::string& path);

/// Rows that each node's experts computed, summed over the training steps of a metrics file.
std::map<int, std::uint64_t> rows_by_node(const std::vector<nlohmann::json>& metrics);

/// What `troupe status --json` says of a run.
nlohmann::json status_of_run(const std::string& address);

/// Number of the node that is called `name`, asked of the run itself: nodes get their numbers in the order in
/// which they join, whatever their names. Fails the test if there is none.
int number_of_node(const std::string& address, const std::string& name);

/// The process of a run's local node, 0 if there is none.
pid_t process_of_node(const process& run, const std::string& name);

/// Stops a process for the length of a scope: a run that needs it makes no step meanwhile.
class paused {
public:
  explicit paused(pid_t who);
  ~paused();
  paused(const paused&) = delete;
  paused& operator=(const paused&) = delete;

private:
  pid_t who_;
};

/// "HOST:PORT" that a run printed that it listens at; waits for it.
std::string address_of_run(process& run);

} // namespace troupe::test
