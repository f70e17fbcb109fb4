#pragma once

#include "messages/local.hpp"
#include "messages/membership.hpp"
#include "messages/plan.hpp"
#include "messages/report.hpp"
#include "messages/work.hpp"

#include <variant>

namespace troupe {

/// Every message a core can receive or send.
using message =
  std::variant<plan, norm_report, commit, applied, fetch, batch, dispatch, combine, gradient, input_gradient,
               dense_gradient, dense_parameters, refusal, replica_report, placement_change, placement_settled,
               owner_state, state_received, state_request, release, ready, expert_plan, expert_forward,
               expert_output, expert_backward, expert_input_gradient>;

} // namespace troupe
