#pragma once

#include "actors/shell/contracts.hpp"

#include <caf/init_global_meta_objects.hpp>

namespace troupe::test {

/// Tells CAF of our messages and actors, once in a process: before the first actor system.
inline void register_types() {
  static const bool once = [] {
    caf::init_global_meta_objects<caf::id_block::troupe>();
    caf::init_global_meta_objects<caf::id_block::troupe_actors>();
    caf::core::init_global_meta_objects();
    return true;
  }();
  (void)once;
}

} // namespace troupe::test
