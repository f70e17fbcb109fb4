#pragma once

#include "messages/encoding.hpp"

#include <caf/byte.hpp>
#include <caf/sec.hpp>
#include <caf/span.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace troupe::transport {

/// The bounds that CAF's connections enforce.
inline constexpr limits wire_limits{};

inline caf::span<const caf::byte> as_caf_bytes(const blob& b) {
  return {reinterpret_cast<const caf::byte*>(b.data()), b.size()};
}

/// Bytes that the source still has; sources that cannot tell are bounded by the limits alone.
template <class Inspector>
std::size_t remaining_bytes(Inspector& f) {
  if constexpr (requires { f.remaining(); })
    return f.remaining();
  else
    return wire_limits.message_bytes_max;
}

/// u64 size, then the bytes in one piece.
template <class Inspector>
bool save_blob(Inspector& f, const blob& b) {
  return f.value(static_cast<std::uint64_t>(b.size())) && (b.size() == 0 || f.value(as_caf_bytes(b)));
}

/// Refuses a size beyond the bound, or beyond what has arrived, before anything is allocated.
template <class Inspector>
bool load_blob(Inspector& f, blob& b, std::size_t size_max) {
  std::uint64_t size = 0;
  if (!f.value(size)) return false;
  if (size > size_max || size > remaining_bytes(f)) {
    f.emplace_error(caf::sec::runtime_error, "[wire] part of a message: got " + std::to_string(size) + " bytes, limit "
                                               + std::to_string(std::min(size_max, remaining_bytes(f))));
    return false;
  }
  b = blob::allocate(size);
  return size == 0 || f.value(caf::span<caf::byte>{reinterpret_cast<caf::byte*>(b.mutable_data()), b.size()});
}

template <class Inspector, class Message>
bool save_message(Inspector& f, const Message& x) {
  const auto frame = encode(x);
  if (!save_blob(f, frame.header) || !f.value(static_cast<std::uint32_t>(frame.payloads.size()))) return false;
  for (auto& payload : frame.payloads)
    if (!save_blob(f, payload)) return false;
  return true;
}

template <class Inspector, class Message>
bool load_message(Inspector& f, Message& x) {
  frame parts;
  std::uint32_t payloads = 0;
  if (!load_blob(f, parts.header, wire_limits.header_bytes_max) || !f.value(payloads)) return false;
  if (payloads > wire_limits.payloads_max) {
    f.emplace_error(caf::sec::runtime_error, "[wire] payloads of a message: got " + std::to_string(payloads) + ", limit "
                                               + std::to_string(wire_limits.payloads_max));
    return false;
  }
  parts.payloads.resize(payloads);
  for (auto& payload : parts.payloads)
    if (!load_blob(f, payload, wire_limits.message_bytes_max)) return false;
  auto decoded = decode<Message>(parts, wire_limits);
  if (!decoded) {
    f.emplace_error(caf::sec::runtime_error, decoded.error().text);
    return false;
  }
  x = std::move(*decoded);
  return true;
}

} // namespace troupe::transport

namespace troupe {

/// How CAF serialises our messages: Cap'n Proto header and payloads, each in one piece, checked on arrival.
template <class Inspector, wire_message Message>
bool inspect(Inspector& f, Message& x) {
  if constexpr (Inspector::is_loading) {
    return transport::load_message(f, x);
  } else {
    if (f.has_human_readable_format()) return f.value(static_cast<std::uint64_t>(bytes_of(encode(x)))); // logs: the size only
    return transport::save_message(f, x);
  }
}

} // namespace troupe
