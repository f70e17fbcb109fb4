#pragma once

#include "launcher/address.hpp"
#include "launcher/child.hpp"
#include "launcher/options.hpp"

#include <string>

/// Command lines of the node program: the launcher's side of the contract that launcher/README.md describes.
namespace troupe::launcher {

/// The user's own program, or `troupe-node` in the folder of this very program.
std::string node_program_path(const std::string& chosen);

/// The head of a training run.
child_options head_of(const train_options& options);
/// The head that evaluates a saved model; `config` is the model's own, with the data to test on.
child_options head_of(const eval_options& options, const configuration& config);

/// A local node of a run.
struct local_node {
  std::uint32_t index = 0; ///< 1-based; names it "node-1"
  address head;
  std::string run_id;
  std::string configuration; ///< JSON; the head must have the same
  std::uint32_t compute_threads = 0;
  std::string slow; ///< testing
};
child_options node_of(const local_node& node, const std::string& program, std::uint32_t intra_op_threads);

/// A node that joins a head elsewhere, one with `configuration` (JSON) unless that is empty.
child_options node_of(const node_options& options, const std::string& configuration);

child_options status_of(const query_options& options);
child_options drain_of(const query_options& options);
/// What one of these two has answered on stdout, or said on stderr that went wrong.
expected<std::string> answer_of(const child& ended);

/// Cores that this process may use.
std::uint32_t core_count();

/// Compute threads of one of several local nodes: the user's number, or the cores of this process divided
/// among them.
std::uint32_t threads_per_node(const run_options& run);

} // namespace troupe::launcher
