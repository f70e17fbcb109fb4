#include "model/torch_border.hpp"

#include "messages/check.hpp"
#include "model/run_failure.hpp"

#include <c10/util/Exception.h>

#include <algorithm>

namespace troupe {

error error_in_flight(std::string_view where) {
  try {
    throw;
  } catch (const c10::Error& e) {
    std::string what = e.what_without_backtrace();
    std::replace(what.begin(), what.end(), '\n', ' ');
    return {error_code::internal, "[" + std::string(where) + "] LibTorch: " + what};
  } catch (...) {
    return failure_in_flight(where);
  }
}

void rethrow_as_run_failure(std::string_view where) {
  throw run_failure(error_in_flight(where));
}

void abort_in_flight(std::string_view where) {
  programming_error(where, error_in_flight(where).text);
}

} // namespace troupe
