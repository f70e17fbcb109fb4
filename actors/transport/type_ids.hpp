#pragma once

#include "actors/transport/inspect.hpp"
#include "messages/local.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/type_id.hpp>

// The types that CAF may carry. Their order is part of the protocol: add at the end, and raise
// `protocol_version` when anything before changes.

// clang-format off
CAF_BEGIN_TYPE_ID_BLOCK(troupe, first_custom_type_id)

  CAF_ADD_TYPE_ID(troupe, (troupe::plan))
  CAF_ADD_TYPE_ID(troupe, (troupe::norm_report))
  CAF_ADD_TYPE_ID(troupe, (troupe::commit))
  CAF_ADD_TYPE_ID(troupe, (troupe::applied))
  CAF_ADD_TYPE_ID(troupe, (troupe::fetch))
  CAF_ADD_TYPE_ID(troupe, (troupe::batch))
  CAF_ADD_TYPE_ID(troupe, (troupe::dispatch))
  CAF_ADD_TYPE_ID(troupe, (troupe::combine))
  CAF_ADD_TYPE_ID(troupe, (troupe::gradient))
  CAF_ADD_TYPE_ID(troupe, (troupe::input_gradient))
  CAF_ADD_TYPE_ID(troupe, (troupe::dense_gradient))
  CAF_ADD_TYPE_ID(troupe, (troupe::dense_parameters))
  CAF_ADD_TYPE_ID(troupe, (troupe::refusal))
  CAF_ADD_TYPE_ID(troupe, (troupe::replica_report))
  CAF_ADD_TYPE_ID(troupe, (troupe::placement_change))
  CAF_ADD_TYPE_ID(troupe, (troupe::placement_settled))
  CAF_ADD_TYPE_ID(troupe, (troupe::owner_state))
  CAF_ADD_TYPE_ID(troupe, (troupe::state_received))
  CAF_ADD_TYPE_ID(troupe, (troupe::state_request))
  CAF_ADD_TYPE_ID(troupe, (troupe::release))
  CAF_ADD_TYPE_ID(troupe, (troupe::ready))
  CAF_ADD_TYPE_ID(troupe, (troupe::join_request))
  CAF_ADD_TYPE_ID(troupe, (troupe::welcome))

  // Between actors of one process only.
  CAF_ADD_TYPE_ID(troupe, (troupe::expert_forward))
  CAF_ADD_TYPE_ID(troupe, (troupe::expert_output))
  CAF_ADD_TYPE_ID(troupe, (troupe::expert_backward))
  CAF_ADD_TYPE_ID(troupe, (troupe::expert_input_gradient))
  CAF_ADD_TYPE_ID(troupe, (troupe::expert_plan))

CAF_END_TYPE_ID_BLOCK(troupe)
// clang-format on

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::expert_forward)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::expert_output)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::expert_backward)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::expert_input_gradient)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::expert_plan)
