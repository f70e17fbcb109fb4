#pragma once

#include "messages/error.hpp"
#include "model/run_failure.hpp"

#include <string_view>
#include <type_traits>
#include <utility>

namespace troupe {

/// Turns the exception in flight into an error whose text begins with `[where]`: `failure_in_flight`, or one
/// that knows a library's own exceptions.
using translate_exception = error (*)(std::string_view where);

/// Runs `f`, which may call what a program added, and turns what it throws into an error. `f` may itself
/// return an `expected`.
template <class F>
auto catch_failures(std::string_view where, F&& f, translate_exception translate = failure_in_flight) {
  using plain = std::invoke_result_t<F>;
  if constexpr (requires(plain p) { p.error(); }) {
    try {
      return std::forward<F>(f)();
    } catch (...) {
      return plain(tl::unexpected<error>(translate(where)));
    }
  } else {
    using result = expected<plain>;
    try {
      if constexpr (std::is_void_v<plain>) {
        std::forward<F>(f)();
        return result{};
      } else {
        return result{std::forward<F>(f)()};
      }
    } catch (...) {
      return result(tl::unexpected<error>(translate(where)));
    }
  }
}

} // namespace troupe
