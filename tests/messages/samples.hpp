#pragma once

#include "messages/encoding.hpp"

#include <tuple>
#include <vector>

namespace troupe::test {

using wire_messages =
  std::tuple<plan, norm_report, commit, applied, fetch, batch, dispatch, combine, gradient, input_gradient,
             dense_gradient, dense_parameters, refusal, replica_report, placement_change, placement_settled,
             owner_state, state_received, state_request, release, ready, join_request, welcome>;

/// Valid messages of one type: full ones with different values in all fields, and the emptiest that is
/// allowed.
template <class M>
std::vector<M> samples();

/// Equal in all fields; tensors by type, shape and bytes.
template <class M>
bool same(const M& a, const M& b);

} // namespace troupe::test
