#include "model/checkpoint/safetensors.hpp"

#include "model/checkpoint/strict_json.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

namespace troupe {

namespace {

using json = nlohmann::json;

struct type_bits {
  std::string_view name;
  std::uint64_t bits;
};

constexpr std::array<type_bits, 22> types = {{
  {"BOOL", 8},        {"U8", 8},          {"I8", 8},      {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8},
  {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"U16", 16},    {"I16", 16},    {"F16", 16},    {"BF16", 16},
  {"U32", 32},        {"I32", 32},        {"F32", 32},    {"U64", 64},    {"I64", 64},    {"F64", 64},
  {"C64", 64},        {"F4", 4},          {"F6_E2M3", 6}, {"F6_E3M2", 6},
}};

std::optional<std::uint64_t> bits_of(std::string_view type) {
  const auto i = std::find_if(types.begin(), types.end(), [&](const auto& t) { return t.name == type; });
  if (i == types.end()) return std::nullopt;
  return i->bits;
}

std::string shown(const json& value) {
  auto text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

/// Reads one entry; every complaint names the tensor.
class entry_reader {
public:
  entry_reader(const std::string& where, const std::string& name)
    : prefix_("[" + where + "] tensor '" + name + "', ") {
    // nop
  }

  expected<safetensors_entry> read(const json& from, std::uint64_t buffer_bytes) {
    if (!from.is_object()) return refuse("entry: got " + shown(from) + ", limit an object");
    for (const auto& item : from.items())
      if (item.key() != "dtype" && item.key() != "shape" && item.key() != "data_offsets")
        return refuse("key '" + item.key() + "': got it, limit dtype, shape and data_offsets");
    safetensors_entry entry;
    auto bits = read_type(from, entry);
    if (!bits) return tl::unexpected(bits.error());
    auto bytes = read_shape(from, entry, *bits);
    if (!bytes) return tl::unexpected(bytes.error());
    if (auto ok = read_offsets(from, entry, *bytes, buffer_bytes); !ok) return tl::unexpected(ok.error());
    return entry;
  }

private:
  tl::unexpected<error> refuse(const std::string& what) const {
    return fail(error_code::malformed, prefix_ + what);
  }

  expected<std::uint64_t> read_type(const json& from, safetensors_entry& entry) {
    const auto i = from.find("dtype");
    if (i == from.end() || !i->is_string())
      return refuse("dtype: got " + (i == from.end() ? "none" : shown(*i)) + ", limit a name such as F32");
    entry.type = i->get<std::string>();
    const auto bits = bits_of(entry.type);
    if (!bits) return refuse("dtype: got '" + entry.type + "', limit the dtypes of safetensors");
    return *bits;
  }

  /// Fills the shape and returns the bytes that it needs.
  expected<std::uint64_t> read_shape(const json& from, safetensors_entry& entry, std::uint64_t bits) {
    const auto i = from.find("shape");
    if (i == from.end() || !i->is_array())
      return refuse("shape: got " + (i == from.end() ? "none" : shown(*i))
                    + ", limit an array of whole numbers");
    std::uint64_t product = 1; // of the dimensions that are not 0, so that their order does not matter
    bool empty = false;
    for (const auto& dim : *i) {
      if (!dim.is_number_unsigned() || dim.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max())
        return refuse("shape: got dimension " + shown(dim) + ", limit a whole number from 0 to 2^63 - 1");
      const auto value = dim.get<std::uint64_t>();
      entry.dims.push_back(static_cast<std::int64_t>(value));
      empty = empty || value == 0;
      if (value != 0 && __builtin_mul_overflow(product, value, &product))
        return refuse("shape: got " + shown(*i) + ", limit 2^63 - 1 bits in all");
    }
    if (__builtin_mul_overflow(product, bits, &product) || product > std::numeric_limits<std::int64_t>::max())
      return refuse("shape: got " + shown(*i) + " of " + entry.type + ", limit 2^63 - 1 bits in all");
    if (empty) return 0;
    if (product % 8 != 0)
      return refuse("shape: got " + shown(*i) + " of " + entry.type + ", limit a whole number of bytes");
    return product / 8;
  }

  expected<void> read_offsets(const json& from, safetensors_entry& entry, std::uint64_t bytes,
                              std::uint64_t buffer_bytes) {
    const auto i = from.find("data_offsets");
    if (i == from.end() || !i->is_array() || i->size() != 2 || !(*i)[0].is_number_unsigned()
        || !(*i)[1].is_number_unsigned())
      return refuse("data_offsets: got " + (i == from.end() ? "none" : shown(*i))
                    + ", limit [begin, end] with begin <= end");
    entry.begin = (*i)[0].get<std::uint64_t>();
    entry.end = (*i)[1].get<std::uint64_t>();
    if (entry.begin > entry.end)
      return refuse("data_offsets: got " + shown(*i) + ", limit [begin, end] with begin <= end");
    if (entry.end > buffer_bytes)
      return refuse("data_offsets: got " + shown(*i) + ", limit " + std::to_string(buffer_bytes)
                    + " bytes in the file");
    if (entry.end - entry.begin != bytes)
      return refuse("data_offsets: got " + std::to_string(entry.end - entry.begin) + " bytes, limit "
                    + std::to_string(bytes) + " by shape and dtype");
    return {};
  }

  std::string prefix_;
};

/// Sorted by begin, the entries must tile the buffer from its first byte to its last.
expected<void> check_tiling(const safetensors_header& header, std::uint64_t buffer_bytes,
                            const std::string& where) {
  using item = std::pair<const std::string, safetensors_entry>;
  std::vector<const item*> sorted;
  for (const auto& entry : header.entries) sorted.push_back(&entry);
  std::stable_sort(sorted.begin(), sorted.end(), [](const item* a, const item* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  std::uint64_t end = 0;
  for (const auto* entry : sorted) {
    if (entry->second.begin != end)
      return fail(error_code::malformed,
                  "[" + where + "] tensor '" + entry->first + "', data_offsets: got begin "
                    + std::to_string(entry->second.begin) + ", limit " + std::to_string(end)
                    + (entry->second.begin < end ? "; it overlaps the tensor before it"
                                                 : "; there is a hole before it"));
    end = entry->second.end;
  }
  if (end != buffer_bytes)
    return fail(error_code::malformed, "[" + where + "] tensor buffer: got " + std::to_string(buffer_bytes)
                                         + " bytes, limit " + std::to_string(end)
                                         + ", the end of the last tensor");
  return {};
}

expected<safetensors_metadata> read_metadata(const json& from, const std::string& where) {
  if (!from.is_object())
    return fail(error_code::malformed,
                "[" + where + "] __metadata__: got " + shown(from) + ", limit an object of strings");
  safetensors_metadata result;
  for (const auto& item : from.items()) {
    if (!item.value().is_string())
      return fail(error_code::malformed, "[" + where + "] __metadata__ '" + item.key() + "': got "
                                           + shown(item.value()) + ", limit a string");
    result[item.key()] = item.value().get<std::string>();
  }
  return result;
}

} // namespace

expected<safetensors_header> safetensors_header::parse(std::string_view text, std::uint64_t file_bytes,
                                                       const std::string& where) {
  safetensors_header header;
  header.buffer_begin = 8 + text.size();
  if (file_bytes < header.buffer_begin || text.empty() || text.front() != '{')
    return fail(error_code::malformed,
                "[" + where + "] header: got no JSON object, limit one that starts with '{'");
  const auto root = parse_strict_json(text, where + ", header");
  if (!root) return tl::unexpected(root.error());
  const auto buffer_bytes = file_bytes - header.buffer_begin;
  for (const auto& item : root->items()) {
    if (item.key() == "__metadata__") {
      auto metadata = read_metadata(item.value(), where);
      if (!metadata) return tl::unexpected(metadata.error());
      header.metadata = std::move(*metadata);
      continue;
    }
    auto entry = entry_reader(where, item.key()).read(item.value(), buffer_bytes);
    if (!entry) return tl::unexpected(entry.error());
    header.entries.emplace(item.key(), std::move(*entry));
  }
  if (auto ok = check_tiling(header, buffer_bytes, where); !ok) return tl::unexpected(ok.error());
  return header;
}

} // namespace troupe
