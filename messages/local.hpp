#pragma once

#include "messages/ids.hpp"
#include "messages/plan.hpp"
#include "messages/tensor.hpp"

#include <memory>

namespace troupe {

// Messages between a host and the owners beside it. They never cross a process border, so they share memory
// and cannot get lost.

/// Host → expert: a step's plan, one for all experts of the node. Never null.
struct expert_plan {
  std::shared_ptr<const plan> permission;
};

/// Host → expert: compute the rows `indices[begin, end)` of `rows`, in that order.
struct expert_forward {
  work_id id;
  owner_id owner;
  bool keep = true;
  tensor rows;    ///< [R, width]
  tensor indices; ///< [N] i32
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

/// Expert → host: [end - begin, out] rows.
struct expert_output {
  work_id id;
  owner_id owner;
  tensor value;
};

/// Host → expert: dL/dy rows of the bundle and the gates of its pairs; the expert kept its indices.
struct expert_backward {
  work_id id;
  owner_id owner;
  bool input_wanted = false;
  tensor rows;  ///< [R, out]
  tensor gates; ///< [N]
};

/// Expert → host: dL/dx of the expert's rows; `value` is absent when it was not wanted.
struct expert_input_gradient {
  work_id id;
  owner_id owner;
  tensor value;
};

} // namespace troupe
