#pragma once

#include "messages/encoding.hpp"

#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/actor_registry.hpp>
#include <caf/actor_system.hpp>
#include <caf/byte_buffer.hpp>
#include <caf/error.hpp>
#include <caf/sec.hpp>
#include <caf/send.hpp>
#include <caf/span.hpp>

#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>

namespace troupe {

// How messages pass CAF's serializers (docs/wire.md):
//
//     u32 header bytes | header | u32 payloads | for each payload: u64 bytes | bytes
//
// One bulk span for the header and for each payload. Nothing is allocated before it is known to fit into the
// limits and into what is left of the input.

using caf_byte = caf::byte_buffer::value_type; // caf::byte in CAF 0.18, std::byte later

template <class Inspector>
bool refuse(Inspector& f, caf::sec code, std::string text) {
  f.emplace_error(code, std::move(text));
  return false;
}

template <class Inspector>
bool save_bytes(Inspector& f, const blob& bytes) {
  return f.value(caf::span<const caf_byte>(reinterpret_cast<const caf_byte*>(bytes.data()), bytes.size()));
}

template <class Inspector>
bool save_frame(Inspector& f, const frame& x) {
  if constexpr (requires { f.buf().reserve(1); }) {
    // One growth of the buffer per message instead of one per doubling: large payloads would be copied again
    // and again.
    auto& buffer = f.buf();
    const auto needed = buffer.size() + bytes_of(x) + 8 * (x.payloads.size() + 1);
    if (needed > buffer.capacity()) buffer.reserve(std::max(needed, 2 * buffer.capacity()));
  }
  if (!f.value(static_cast<std::uint32_t>(x.header.size())) || !save_bytes(f, x.header)) return false;
  if (!f.value(static_cast<std::uint32_t>(x.payloads.size()))) return false;
  for (auto& p : x.payloads)
    if (!f.value(static_cast<std::uint64_t>(p.size())) || !save_bytes(f, p)) return false;
  return true;
}

/// Reads `size` bytes into fresh 64-byte-aligned memory.
template <class Inspector>
bool load_bytes(Inspector& f, std::uint64_t size, blob& to) {
  if constexpr (requires { f.remaining(); }) {
    if (size > f.remaining())
      return refuse(f, caf::sec::invalid_argument,
                    "[inspect] bytes: got " + std::to_string(size) + ", limit "
                      + std::to_string(f.remaining()) + " (what is left of the message)");
  }
  to = blob::allocate(static_cast<std::size_t>(size));
  return f.value(caf::span<caf_byte>(reinterpret_cast<caf_byte*>(to.mutable_data()), to.size()));
}

template <class Inspector>
bool load_frame(Inspector& f, frame& x, const limits& bounds) {
  std::uint32_t header_bytes = 0;
  std::uint32_t payloads = 0;
  std::uint64_t total = 0;
  const auto within = [&] {
    const auto excess = excess_of(header_bytes, payloads, total, bounds);
    return !excess || refuse(f, caf::sec::invalid_argument, "[inspect] " + *excess);
  };
  if (!f.value(header_bytes)) return false;
  total = header_bytes;
  if (!within() || !load_bytes(f, header_bytes, x.header)) return false;
  if (!f.value(payloads) || !within()) return false;
  for (std::uint32_t i = 0; i < payloads; ++i) {
    std::uint64_t size = 0;
    if (!f.value(size)) return false;
    total += std::min(size, std::numeric_limits<std::uint64_t>::max() - total); // cannot overflow
    if (!within() || !load_bytes(f, size, x.payloads.emplace_back())) return false;
  }
  return true;
}

template <class Inspector, class M>
bool load_message(Inspector& f, M& x, const limits& bounds) {
  frame loaded;
  if (!load_frame(f, loaded, bounds)) return false;
  auto decoded = decode<M>(loaded, bounds);
  if (!decoded) return refuse(f, caf::sec::invalid_argument, std::move(decoded.error().text));
  x = std::move(*decoded);
  return true;
}

/// What a person sees of a message: its name (from the type id) and its sizes.
template <class Inspector, class M>
bool print_sizes(Inspector& f, M& x) {
  const auto encoded = encode(x);
  auto bytes = static_cast<std::uint64_t>(bytes_of(encoded));
  auto payloads = static_cast<std::uint64_t>(encoded.payloads.size());
  return f.object(x).fields(f.field("bytes", bytes), f.field("payloads", payloads));
}

/// Name in the actor system's registry under which an actor hears, as strings, why messages were refused. CAF
/// itself drops a message that does not load without a word.
constexpr const char* refusal_listener = "troupe.refusals";

template <class Inspector>
void report_refused(Inspector& f) {
  if constexpr (requires { f.context()->system(); }) {
    if (f.context() == nullptr) return;
    if (auto listener = f.context()->system().registry().get(refusal_listener))
      caf::anon_send(caf::actor_cast<caf::actor>(listener), to_string(f.get_error()));
  }
}

/// Name in the actor system's registry of the actor that hears, as `refusal`s, of messages that are too large
/// to be sent: the coordinator, which ends the run.
constexpr const char* send_failure_listener = "troupe.send_failures";

/// Tells of a message that cannot be sent. False if nobody listens.
template <class Inspector, class M>
bool report_send_failure(Inspector& f, const M& x, const std::string& why) {
  if constexpr (requires { f.context()->system(); }) {
    if (f.context() == nullptr) return false;
    auto listener = f.context()->system().registry().get(send_failure_listener);
    if (!listener) return false;
    refusal told;
    told.reason = why;
    if constexpr (requires { x.term; }) told.id.term = x.term;
    if constexpr (requires { x.id.term; }) told.id.term = x.id.term;
    caf::anon_send(caf::actor_cast<caf::actor>(listener), std::move(told));
    return true;
  }
  return false;
}

/// Saves one message. CAF has begun its packet by now, and a failure would leave half of one in the stream to
/// its receiver: a message over `bounds` is told to `send_failure_listener`, and an empty frame, which every
/// receiver refuses, takes its place. With nobody listening it is an error.
template <class Inspector, class M>
bool save_message(Inspector& f, const M& x, const limits& bounds) {
  const auto encoded = encode(x);
  const auto name = caf::type_name_v<M>;
  if (auto fits = check_sizes(encoded, {name.data(), name.size()}, bounds); !fits) {
    if (!report_send_failure(f, x, fits.error().text))
      return refuse(f, caf::sec::invalid_argument, std::move(fits.error().text));
    return save_frame(f, frame{});
  }
  return save_frame(f, encoded);
}

/// Saves or loads one message. Errors of a load: `caf::sec::invalid_argument` with the text of `decode`, or
/// `end_of_stream`; `x` is then as it was. Human-readable formats can be written, but not read.
template <class Inspector, class M>
bool inspect_frame(Inspector& f, M& x, const limits& bounds = {}) {
  if constexpr (Inspector::is_loading) {
    if (f.has_human_readable_format())
      return refuse(f, caf::sec::unsupported_operation, "[inspect] messages cannot be read from text");
    if (load_message(f, x, bounds)) return true;
    report_refused(f);
    return false;
  } else {
    if (f.has_human_readable_format()) return print_sizes(f, x);
    return save_message(f, x, bounds);
  }
}

/// Found by CAF for every message that crosses a process border.
template <class Inspector, class M>
requires wire_message<std::remove_const_t<M>>
bool inspect(Inspector& f, M& x) {
  return inspect_frame(f, x);
}

} // namespace troupe
