#pragma once

#include "messages/blob.hpp"
#include "messages/error.hpp"
#include "messages/limits.hpp"
#include "messages/membership.hpp"
#include "messages/plan.hpp"
#include "messages/report.hpp"
#include "messages/work.hpp"

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// A message as it travels: a Cap'n Proto header (messages.capnp) and the tensors' bytes beside it, in the
/// order in which the header names them.
struct frame {
  blob header;
  std::vector<blob> payloads;
};

/// Bytes of header and payloads together.
std::size_t bytes_of(const frame& f) noexcept;

template <class M, class... Ms>
concept one_of = (std::same_as<M, Ms> || ...);

/// The messages that cross a process border.
template <class M>
concept wire_message =
  one_of<M, plan, norm_report, commit, applied, fetch, batch, dispatch, combine, gradient, input_gradient,
         dense_gradient, dense_parameters, refusal, replica_report, placement_change, placement_settled,
         owner_state, state_received, state_request, release, ready, join_request, welcome>;

/// Which of a frame's sizes is over its limit, the first of them: "what: got X, limit Y (name)".
std::optional<std::string> excess_of(std::uint64_t header_bytes, std::uint64_t payloads,
                                     std::uint64_t message_bytes, const limits& bounds);
std::optional<std::string> excess_of(const frame& f, const limits& bounds);

/// Refuses a frame that a receiver would refuse for its size, before it is given to a transport that could
/// only drop it. `name` is the message's.
expected<void> check_sizes(const frame& f, std::string_view name, const limits& bounds);

/// The payloads share the tensors' memory. Cost: two allocations and about 10 ns per list element.
template <wire_message M>
frame encode(const M& message);

/// Checks everything that can be known from the message alone: sizes against `bounds`, shape × dtype = bytes,
/// indices against rows, order of lists. Tensors share the payloads' memory, unless a payload is not 64-byte
/// aligned: then it is copied, since kernels give other bits on misaligned rows. Errors: `malformed` (bytes
/// that are not such a message), `over_limit`. Never throws.
template <wire_message M>
expected<M> decode(const frame& f, const limits& bounds);

} // namespace troupe
