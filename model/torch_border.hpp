#pragma once

#include "messages/error.hpp"

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace troupe {

/// The exception in flight as an error, its text `[where] LibTorch: ...` in one line. Call it in a catch
/// block.
error error_in_flight(std::string_view where);

/// Prints the exception in flight and aborts. Call it in a catch block.
[[noreturn]] void abort_in_flight(std::string_view where);

/// The model's border: runs `f`, which may use LibTorch, and turns what it throws into an error. `f` may
/// itself return an `expected`.
template <class F>
auto catch_torch(std::string_view where, F&& f) {
  using plain = std::invoke_result_t<F>;
  if constexpr (requires(plain p) { p.error(); }) {
    try {
      return std::forward<F>(f)();
    } catch (...) {
      return plain(tl::unexpected<error>(error_in_flight(where)));
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
      return result(tl::unexpected<error>(error_in_flight(where)));
    }
  }
}

/// Throws the exception in flight as a `run_failure`. Call it in a catch block.
[[noreturn]] void rethrow_as_run_failure(std::string_view where);

/// The same for calls that run what a program added and return plain values: throws `run_failure`, whose text
/// has LibTorch's reason without its stack.
template <class F>
decltype(auto) fail_run_on_error(std::string_view where, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (...) {
    rethrow_as_run_failure(where);
  }
}

/// The same for calls that cannot fail by their contract (pure computation on checked shapes): aborts with
/// the text.
template <class F>
decltype(auto) abort_on_torch_error(std::string_view where, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (...) {
    abort_in_flight(where);
  }
}

} // namespace troupe
