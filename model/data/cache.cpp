#include "model/data/cache.hpp"

#include "model/checkpoint/file.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace troupe {

namespace {

constexpr std::size_t header_page = 4096; // the payload starts on a page
constexpr std::array<char, 8> cache_magic = {'t', 'r', 'o', 'u', 'p', 'e', 'c', '1'};

struct cache_header {
  std::array<char, 8> magic = cache_magic;
  std::uint64_t stamp_hash = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t payload_hash = 0;

  bool operator==(const cache_header&) const = default;
};

std::uint64_t hash_of_bytes(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::uint64_t hash_of_text(std::string_view text) {
  return XXH3_64bits(text.data(), text.size());
}

/// The payload, if the file is there, whole and of this stamp.
std::optional<blob> load(const std::filesystem::path& path, std::string_view stamp) {
  auto file = input_file::open(path);
  if (!file || file->size() < header_page) return std::nullopt;
  auto mapped = file->map();
  if (!mapped) return std::nullopt;
  cache_header header;
  std::memcpy(&header, mapped->data(), sizeof header);
  if (header.magic != cache_magic || header.stamp_hash != hash_of_text(stamp)
      || header.payload_bytes != file->size() - header_page)
    return std::nullopt;
  auto payload = mapped->part(header_page, header.payload_bytes);
  if (hash_of_bytes(payload.bytes()) != header.payload_hash) return std::nullopt;
  return payload;
}

bool store(const std::filesystem::path& path, std::string_view stamp, const blob& payload) {
  std::error_code problem;
  std::filesystem::create_directories(path.parent_path(), problem);
  const cache_header header{cache_magic, hash_of_text(stamp), payload.size(), hash_of_bytes(payload.bytes())};
  std::array<std::byte, header_page> page{};
  std::memcpy(page.data(), &header, sizeof header);
  return write_file_atomically(path, {page, payload.bytes()}).has_value();
}

} // namespace

std::optional<std::filesystem::path> cache_directory() {
  const auto from = [](const char* variable) -> std::filesystem::path {
    const char* value = std::getenv(variable);
    return value != nullptr ? value : "";
  };
  // The XDG specification: a relative path is to be ignored.
  if (const auto base = from("XDG_CACHE_HOME"); base.is_absolute()) return base / "troupe";
  if (const auto home = from("HOME"); home.is_absolute()) return home / ".cache" / "troupe";
  return std::nullopt;
}

expected<blob> cached_bytes(const std::optional<std::filesystem::path>& directory, std::string_view name,
                            std::string_view stamp, const std::function<expected<blob>()>& make) {
  if (!directory) return make();
  const auto path = *directory / name;
  if (auto payload = load(path, stamp)) return *payload;
  auto made = make();
  if (!made || !store(path, stamp, *made)) return made;
  if (auto payload = load(path, stamp)) return *payload;
  return made;
}

expected<std::string> file_stamp(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    return fail(errno == ENOENT || errno == ENOTDIR ? error_code::not_found : error_code::unavailable,
                "[" + path.string() + "] cannot inspect: " + std::strerror(errno));
  const auto nanoseconds = [](const timespec& t) {
    return std::to_string(t.tv_sec * 1'000'000'000 + t.tv_nsec);
  };
  return std::to_string(status.st_size) + " " + nanoseconds(status.st_mtim) + " "
         + nanoseconds(status.st_ctim);
}

} // namespace troupe
