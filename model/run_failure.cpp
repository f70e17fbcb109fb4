#include "model/run_failure.hpp"

#include <algorithm>
#include <cmath>
#include <new>
#include <string>

namespace troupe {

namespace {

constexpr std::size_t characters_max = 1000; ///< it may have to travel

/// `what` as part of one line.
std::string in_one_line(std::string what) {
  what.resize(std::min(what.size(), characters_max));
  std::ranges::replace(what, '\n', ' ');
  return what;
}

} // namespace

error not_finite(const std::string& what, double value) {
  const auto got = std::isnan(value) ? "nan" : std::to_string(value); // whose sign would say nothing
  return {error_code::over_limit,
          what + ": got " + got + ", limit finite; lower the learning rate or clip gradients"};
}

error failure_in_flight(std::string_view where) {
  const auto text = [&](const std::string& what) { return "[" + std::string(where) + "] " + what; };
  try {
    throw;
  } catch (const run_failure& failure) {
    return failure.reason();
  } catch (const std::bad_alloc&) {
    return {error_code::unavailable,
            text("not enough memory for it; use a smaller model, smaller batches or more machines")};
  } catch (const std::exception& thrown) {
    return {error_code::internal, text("exception: " + in_one_line(thrown.what()))};
  } catch (...) {
    return {error_code::internal, text("exception: of unknown type")};
  }
}

} // namespace troupe
