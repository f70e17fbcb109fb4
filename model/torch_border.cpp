#include "model/torch_border.hpp"

#include "messages/check.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <exception>
#include <new>

namespace troupe {

error error_in_flight(std::string_view where) {
  const auto text = [&](std::string what) {
    std::replace(what.begin(), what.end(), '\n', ' ');
    return "[" + std::string(where) + "] " + what;
  };
  try {
    throw;
  } catch (const c10::Error& e) {
    return {error_code::internal, text(std::string("LibTorch: ") + e.what_without_backtrace())};
  } catch (const std::bad_alloc&) {
    return {error_code::unavailable,
            text("memory: the system has no more; use smaller batches or more nodes")};
  } catch (const std::exception& e) {
    return {error_code::internal, text(e.what())};
  } catch (...) {
    return {error_code::internal, text("an exception of unknown type")};
  }
}

void abort_in_flight(std::string_view where) {
  programming_error(where, error_in_flight(where).text);
}

} // namespace troupe
