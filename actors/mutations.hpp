#pragma once

namespace troupe {

/// Deliberate defects, all off. The simulation switches one on to prove that it would notice
/// (tests/simulation).
struct mutations {
  bool apply_duplicates = false;   ///< an owner folds a repeated gradient again
  bool accept_old_term = false;    ///< messages of an earlier incarnation are taken for current ones
  bool forget_replies = false;     ///< an owner drops its replies as soon as it has applied the step
  bool omit_empty_bundles = false; ///< a router sends no bundle to a node whose experts got no rows
  bool fold_by_arrival = false;    ///< gradients are folded in the order in which they came

  bool operator==(const mutations&) const = default;
};

} // namespace troupe
