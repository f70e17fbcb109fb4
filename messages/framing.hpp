#pragma once

#include "messages/encoding.hpp"

namespace troupe {

/// Flat form of a frame, for files and shared memory (docs/wire.md). All numbers little-endian:
///
///     u32 magic | u32 header bytes | u32 payloads | u32 zero | u64 bytes of each payload
///     header, then each payload: every part starts at a multiple of 64 and is padded with zeros
constexpr std::uint32_t frame_magic = 0x31465254; // "TRF1"

/// Bytes of the flat form, a multiple of 64.
std::size_t flat_bytes(const frame& f) noexcept;

/// Writes the flat form to `flat_bytes(f)` bytes at `to`. Header and payloads are at most those of `limits`.
void flatten(const frame& f, std::byte* to);
blob flatten(const frame& f);

/// The frame's parts share the memory of `flat`; if that is 64-byte aligned, so are the payloads.
/// Errors: `malformed`, `over_limit`. The header is not looked into: that is `decode`'s part.
expected<frame> unflatten(const blob& flat, const limits& bounds);

} // namespace troupe
