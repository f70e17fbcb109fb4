#pragma once

#include "messages/error.hpp"
#include "model/run_failure.hpp"

#include <caf/error.hpp>
#include <caf/sec.hpp>

#include <exception>
#include <functional>
#include <string>
#include <utility>

namespace troupe {

/// To be called by an actor when it begins: what one of its handlers throws ends the run. Left to CAF it
/// would end the actor alone, and the others would wait for it.
template <class Self>
void end_run_on_exception(Self* self, std::function<void(const error&)> run_failed, std::string who) {
  self->set_exception_handler(
    [run_failed = std::move(run_failed), who = std::move(who)](std::exception_ptr& thrown) -> caf::error {
      try {
        std::rethrow_exception(thrown);
      } catch (...) {
        if (run_failed) run_failed(failure_in_flight(who));
      }
      return caf::sec::runtime_error;
    });
}

} // namespace troupe
