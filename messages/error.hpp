#pragma once

#include <tl/expected.hpp>

#include <cstdint>
#include <string>

namespace troupe {

/// What went wrong, coarsely: decides the exit code (usage: 2, everything else: 1) and what a caller may do
/// about it.
enum class error_code : std::uint8_t {
  usage,       ///< the user asked for something impossible
  not_found,   ///< a file, package, node or address does not exist
  malformed,   ///< bytes that are not what they claim to be
  over_limit,  ///< a value exceeds a bound of `limits`
  mismatch,    ///< configuration, run id or numerics fingerprint differ
  unavailable, ///< a peer or resource cannot be reached
  run_failed,  ///< the run that a node was part of: its head says why
  internal     ///< a programming error reported instead of crashing
};

/// An error as a value. Text: `[where] what: got X, limit Y`, and what to do about it.
struct error {
  error_code code = error_code::internal;
  std::string text;
};

template <class T>
using expected = tl::expected<T, error>;

/// Shorthand for `return fail(error_code::malformed, "[where] what: got ...")`.
inline tl::unexpected<error> fail(error_code code, std::string text) {
  return tl::unexpected<error>(error{code, std::move(text)});
}

} // namespace troupe
