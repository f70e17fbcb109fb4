#pragma once

#include "messages/error.hpp"
#include "model/run_failure.hpp"

#include <string_view>
#include <utility>

namespace troupe {

/// Like `failure_in_flight`; of what LibTorch throws, the reason without its stack: `[where] LibTorch: ...`.
/// Call it in a catch block.
error torch_failure_in_flight(std::string_view where);

/// Runs `f`, which uses LibTorch; throws what it throws again as a `run_failure`.
template <class F>
decltype(auto) fail_run_on_torch_error(std::string_view where, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (...) {
    throw run_failure(torch_failure_in_flight(where));
  }
}

} // namespace troupe
