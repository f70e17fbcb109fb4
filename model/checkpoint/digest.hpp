#pragma once

#include "messages/ids.hpp"
#include "model/parameter_set.hpp"

#include <span>
#include <string>
#include <vector>

namespace troupe {

/// The parameters of one owner, as `parameter_set::parameters()` gives them.
struct owner_parameters {
  owner_id owner;
  std::vector<named_tensor> values;
};

/// "dense-0", "expert-0-3" (layer, expert), "expert-0-3-1" (slice 1; slice 0 is not written).
std::string owner_name(owner_id owner);

/// Canonical order: dense stages ascending, then experts by (layer, expert, slice).
bool canonical_less(owner_id a, owner_id b);

/// SHA-256 (hex) of a model's parameters: over the owners in canonical order and each owner's tensors by name
/// (bytes ascending), the concatenation of
///
///     owner name, '.', tensor name, NUL, dtype as in safetensors ("F32"), NUL, shape ("64,784"; "" for a
///     scalar), NUL, the elements, row-major, little-endian.
///
/// Does not depend on the order of the arguments. `scripts/digest.py` computes the same from a saved model.
std::string digest_of(std::span<const owner_parameters> owners);

} // namespace troupe
