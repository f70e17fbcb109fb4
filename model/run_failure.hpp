#pragma once

#include "messages/error.hpp"

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace troupe {

/// Thrown by a trunk, and by the routing rules and losses that it calls, when a run cannot go on because of
/// its data or weights (logits that are not finite, a label out of range). The one exception of the model: a
/// trunk's calls return values, and nobody between it and the end of the run can do anything about it.
class run_failure : public std::runtime_error {
public:
  explicit run_failure(error reason) : std::runtime_error(reason.text), reason_(std::move(reason)) {
    // nop
  }

  const error& reason() const noexcept { return reason_; }

private:
  error reason_;
};

/// The reason for a number that is none: `what` ("[router] logit of layer 0") got `value`, and what to do.
error not_finite(const std::string& what, double value);

/// The exception in flight as an error that ends the run, in one line that begins with `[where]`. Call it in
/// a catch block.
error failure_in_flight(std::string_view where);

} // namespace troupe
