#include "model/data/idx.hpp"

#include "model/checkpoint/file.hpp"
#include "model/sha256.hpp"

#include <zlib.h>

#include <algorithm>
#include <limits>

namespace troupe {

namespace {

tl::unexpected<error> malformed(const std::filesystem::path& path, const std::string& what) {
  return fail(error_code::malformed, "[" + path.string() + "] " + what);
}

/// Decompresses to at most `size_max` bytes. One byte more is room enough to see that there is too much.
expected<blob> gunzip(const std::filesystem::path& path, const blob& packed, std::size_t size_max) {
  constexpr auto piece = std::size_t{1} << 30; // zlib counts with 32 bits
  auto out = blob::allocate(size_max + 1);
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) return fail(error_code::internal, "[zlib] inflateInit2 failed");
  std::size_t consumed = 0, produced = 0;
  int status = Z_OK;
  while (status == Z_OK && produced < out.size()) {
    const auto in_size = std::min(piece, packed.size() - consumed);
    const auto out_size = std::min(piece, out.size() - produced);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data() + consumed));
    stream.avail_in = static_cast<uInt>(in_size);
    stream.next_out = reinterpret_cast<Bytef*>(out.mutable_data() + produced);
    stream.avail_out = static_cast<uInt>(out_size);
    status = inflate(&stream, Z_NO_FLUSH);
    consumed += in_size - stream.avail_in;
    produced += out_size - stream.avail_out;
  }
  const std::string reason = stream.msg != nullptr ? stream.msg : "";
  inflateEnd(&stream);
  if (status == Z_BUF_ERROR)
    return malformed(path, "gzip stream: got an early end after " + std::to_string(packed.size())
                             + " bytes, limit a whole stream; the file was cut short");
  if (status != Z_OK && status != Z_STREAM_END)
    return malformed(path, "gzip stream: got damaged bytes (" + reason + "), limit what gzip wrote");
  if (produced > size_max)
    return malformed(path, "decompressed length: got more than " + std::to_string(size_max) + " bytes, limit "
                             + std::to_string(size_max));
  return out.part(0, produced);
}

std::uint32_t big_endian(const blob& bytes, std::size_t offset) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | std::to_integer<std::uint32_t>(bytes.data()[offset + i]);
  return value;
}

std::string hex(std::uint32_t value) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) out += digits[value >> shift & 15];
  return out;
}

expected<void> check_header(const std::filesystem::path& path, const blob& bytes,
                            const idx_expectation& wanted) {
  const auto rank = wanted.dimensions.size();
  const auto header = 4 + 4 * rank;
  if (bytes.size() < header)
    return malformed(path, "IDX header: got " + std::to_string(bytes.size()) + " bytes, limit "
                             + std::to_string(header));
  const auto magic = static_cast<std::uint32_t>(0x0800 | rank);
  if (big_endian(bytes, 0) != magic)
    return malformed(path, "IDX magic number: got " + hex(big_endian(bytes, 0)) + ", limit " + hex(magic)
                             + " (unsigned bytes, " + std::to_string(rank) + " dimensions)");
  std::uint64_t elements = 1;
  for (std::size_t i = 0; i < rank; ++i) {
    const auto got = big_endian(bytes, 4 + 4 * i);
    if (got != wanted.dimensions[i])
      return malformed(path, "IDX dimension " + std::to_string(i) + ": got " + std::to_string(got)
                               + ", limit " + std::to_string(wanted.dimensions[i]));
    elements *= got;
  }
  if (bytes.size() != header + elements)
    return malformed(path, "decompressed length: got " + std::to_string(bytes.size()) + " bytes, limit "
                             + std::to_string(header + elements));
  return {};
}

} // namespace

expected<blob> read_idx_gz(const std::filesystem::path& directory, const idx_expectation& wanted) {
  const auto path = directory / wanted.name;
  auto file = input_file::open(path);
  if (!file) return tl::unexpected(file.error());
  auto packed = file->read(0, file->size());
  if (!packed) return packed;
  std::size_t elements = 1;
  for (auto d : wanted.dimensions) elements *= d;
  const auto header = 4 + 4 * wanted.dimensions.size();
  auto bytes = gunzip(path, *packed, header + elements);
  if (!bytes) return bytes;
  if (auto ok = check_header(path, *bytes, wanted); !ok) return tl::unexpected(ok.error());
  if (!wanted.sha256.empty())
    if (const auto got = sha256_hex(bytes->bytes()); got != wanted.sha256)
      return malformed(path, "SHA-256 of the decompressed file: got " + got + ", limit " + wanted.sha256
                               + "; it was altered, reinstall it");
  return bytes->part(header, elements);
}

} // namespace troupe
