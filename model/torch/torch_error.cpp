#include "model/torch/torch_error.hpp"

#include "model/run_failure.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <string>

namespace troupe {

error torch_failure_in_flight(std::string_view where) {
  try {
    throw;
  } catch (const c10::Error& e) {
    std::string what = e.what_without_backtrace();
    std::ranges::replace(what, '\n', ' ');
    return {error_code::internal, "[" + std::string(where) + "] LibTorch: " + what};
  } catch (...) {
    return failure_in_flight(where);
  }
}

} // namespace troupe
