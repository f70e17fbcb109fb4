#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::test {

/// What `gzip` would write.
inline std::string gzipped(const std::string& plain) {
  z_stream stream{};
  deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, plain.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(packed.size() - stream.avail_out);
  deflateEnd(&stream);
  return packed;
}

/// A big-endian number, as IDX headers have them.
inline std::string big_endian(std::uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
  return out;
}

/// An IDX file of unsigned bytes: magic number, dimensions, elements.
inline std::string idx_file(std::uint32_t magic, const std::vector<std::uint32_t>& dims,
                            const std::string& elements) {
  auto out = big_endian(magic);
  for (auto d : dims) out += big_endian(d);
  return out + elements;
}

} // namespace troupe::test
