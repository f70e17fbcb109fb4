#pragma once

#include "launcher/options.hpp"

namespace troupe::launcher {

/// Each carries a command out, with options that finish() has passed, and returns the exit code.
int run_train(const train_options& options);
int run_eval(const eval_options& options);
int run_node(const node_options& options);
int run_ablate(const ablate_options& options);
int run_status(const query_options& options);
int run_drain(const query_options& options);

} // namespace troupe::launcher
