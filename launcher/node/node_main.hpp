#pragma once

#include "model/extensions.hpp"

namespace troupe {

/// The node program: `head`, `join`, `status`, `drain`, `fingerprint` (see --help). A program with parts of
/// its own is a `main` that hands them over:
///
///     int main(int argc, char** argv) {
///       troupe::extensions mine;
///       mine.experts["my-expert"] = make_my_expert;
///       return troupe::node_main(argc, argv, mine);
///     }
///
/// and runs as `troupe train --node-program ./my-node --expert my-expert`.
int node_main(int argc, char** argv, const extensions& more = {});

} // namespace troupe
