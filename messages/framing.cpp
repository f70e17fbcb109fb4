#include "messages/framing.hpp"

#include "messages/check.hpp"

#include <bit>
#include <cstring>
#include <limits>
#include <string>

namespace troupe {

static_assert(std::endian::native == std::endian::little, "the flat form is little-endian");

namespace {

struct preamble {
  std::uint32_t magic = frame_magic;
  std::uint32_t header_bytes = 0;
  std::uint32_t payloads = 0;
  std::uint32_t zero = 0;
};

constexpr std::size_t padded(std::size_t bytes) {
  return (bytes + blob::alignment - 1) / blob::alignment * blob::alignment;
}

constexpr std::size_t table_bytes(std::size_t payloads) {
  return padded(sizeof(preamble) + payloads * sizeof(std::uint64_t));
}

std::byte* write_part(std::byte* to, const blob& part) {
  if (part.size() != 0) std::memcpy(to, part.data(), part.size());
  std::memset(to + part.size(), 0, padded(part.size()) - part.size());
  return to + padded(part.size());
}

tl::unexpected<error> malformed(const char* what, std::uint64_t got, std::uint64_t limit) {
  return fail(error_code::malformed, std::string("[unflatten] ") + what + ": got " + std::to_string(got)
                                       + ", limit " + std::to_string(limit)
                                       + "; the bytes are cut off or damaged");
}

tl::unexpected<error> over_limit(const std::string& excess) {
  return fail(error_code::over_limit, "[unflatten] " + excess + "; raise the limit on every node");
}

} // namespace

std::size_t flat_bytes(const frame& f) noexcept {
  auto result = table_bytes(f.payloads.size()) + padded(f.header.size());
  for (auto& p : f.payloads) result += padded(p.size());
  return result;
}

void flatten(const frame& f, std::byte* to) {
  TROUPE_CHECK(f.header.size() <= std::numeric_limits<std::uint32_t>::max(),
               "a header of " + std::to_string(f.header.size()) + " bytes");
  TROUPE_CHECK(f.payloads.size() <= std::numeric_limits<std::uint32_t>::max(),
               std::to_string(f.payloads.size()) + " payloads");
  const preamble start{frame_magic, static_cast<std::uint32_t>(f.header.size()),
                       static_cast<std::uint32_t>(f.payloads.size()), 0};
  const auto table = table_bytes(f.payloads.size());
  std::memset(to, 0, table);
  std::memcpy(to, &start, sizeof(start));
  for (std::size_t i = 0; i < f.payloads.size(); ++i) {
    const std::uint64_t size = f.payloads[i].size();
    std::memcpy(to + sizeof(start) + i * sizeof(size), &size, sizeof(size));
  }
  to = write_part(to + table, f.header);
  for (auto& p : f.payloads) to = write_part(to, p);
}

blob flatten(const frame& f) {
  auto result = blob::allocate(flat_bytes(f));
  flatten(f, result.mutable_data());
  return result;
}

expected<frame> unflatten(const blob& flat, const limits& bounds) {
  preamble start;
  if (flat.size() < sizeof(start)) return malformed("bytes", flat.size(), sizeof(start));
  std::memcpy(&start, flat.data(), sizeof(start));
  if (start.magic != frame_magic) return malformed("magic", start.magic, frame_magic);
  if (start.zero != 0) return malformed("reserved number", start.zero, 0);
  if (const auto excess = excess_of(start.header_bytes, start.payloads, start.header_bytes, bounds))
    return over_limit(*excess);
  // From here on no sum can overflow: every part is checked against the bytes that are left.
  if (flat.size() < table_bytes(start.payloads))
    return malformed("table", table_bytes(start.payloads), flat.size());
  auto at = table_bytes(start.payloads);
  auto take = [&](std::uint64_t size, blob& to) {
    const auto left = flat.size() - at;
    if (size > left || padded(size) > left) return false;
    to = flat.part(at, size);
    at += padded(size);
    return true;
  };
  frame result;
  if (!take(start.header_bytes, result.header))
    return malformed("header bytes", start.header_bytes, flat.size() - at);
  result.payloads.resize(start.payloads);
  for (std::size_t i = 0; i < result.payloads.size(); ++i) {
    std::uint64_t size = 0;
    std::memcpy(&size, flat.data() + sizeof(start) + i * sizeof(size), sizeof(size));
    if (!take(size, result.payloads[i])) return malformed("payload bytes", size, flat.size() - at);
  }
  if (at != flat.size()) return malformed("bytes", flat.size(), at);
  if (const auto excess = excess_of(result, bounds)) return over_limit(*excess);
  return result;
}

} // namespace troupe
