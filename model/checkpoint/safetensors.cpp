#include "model/checkpoint/safetensors.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <set>

namespace troupe {

static_assert(std::endian::native == std::endian::little,
              "tensors are read and written as they lie in memory");

namespace {

constexpr std::uint64_t header_bytes_max = 100'000'000; // the format's own bound

std::optional<dtype> type_from(const std::string& name) {
  for (auto type : {dtype::u8, dtype::i32, dtype::i64, dtype::f32, dtype::f64})
    if (safetensors_type(type) == name) return type;
  return std::nullopt;
}

expected<std::uint64_t> header_length(const blob& first, std::uint64_t file_bytes, const std::string& where) {
  std::uint64_t length = 0;
  std::memcpy(&length, first.data(), sizeof length);
  if (length > header_bytes_max)
    return fail(error_code::malformed, "[" + where + "] header length: got " + std::to_string(length)
                                         + ", limit " + std::to_string(header_bytes_max));
  if (length > file_bytes - 8)
    return fail(error_code::malformed, "[" + where + "] header length: got " + std::to_string(length)
                                         + ", limit " + std::to_string(file_bytes - 8)
                                         + " bytes in the file; it was cut short");
  return length;
}

} // namespace

// -- reading ------------------------------------------------------------------

expected<safetensors_file> safetensors_file::open(const std::filesystem::path& path) {
  auto input = input_file::open(path);
  if (!input) return tl::unexpected(input.error());
  const auto size = input->size();
  auto first = input->read(0, 8);
  if (!first) return tl::unexpected(first.error());
  auto length = header_length(*first, size, path.string());
  if (!length) return tl::unexpected(length.error());
  auto text = input->read(8, *length);
  if (!text) return tl::unexpected(text.error());
  auto header = safetensors_header::parse({reinterpret_cast<const char*>(text->data()), text->size()}, size,
                                          path.string());
  if (!header) return tl::unexpected(header.error());
  safetensors_file result;
  result.path_ = path;
  result.file_ = std::make_shared<const input_file>(std::move(*input));
  result.header_ = std::move(*header);
  return result;
}

expected<safetensors_file> safetensors_file::over(blob bytes, const std::filesystem::path& path) {
  const auto where = path.string();
  if (bytes.size() < 8)
    return fail(error_code::malformed, "[" + where + "] file length: got " + std::to_string(bytes.size())
                                         + " bytes, limit 8 or more");
  auto length = header_length(bytes, bytes.size(), where);
  if (!length) return tl::unexpected(length.error());
  auto header = safetensors_header::parse({reinterpret_cast<const char*>(bytes.data()) + 8, *length},
                                          bytes.size(), where);
  if (!header) return tl::unexpected(header.error());
  safetensors_file result;
  result.path_ = path;
  result.memory_ = std::move(bytes);
  result.header_ = std::move(*header);
  return result;
}

expected<const safetensors_entry*> safetensors_file::find(const std::string& name) const {
  const auto i = header_.entries.find(name);
  if (i == header_.entries.end())
    return fail(error_code::not_found,
                "[" + path_.string() + "] tensor '" + name + "': got none, limit a tensor of that name");
  return &i->second;
}

expected<tensor> safetensors_file::read(const std::string& name) const {
  auto entry = find(name);
  if (!entry) return tl::unexpected(entry.error());
  return read_range(name, **entry, (*entry)->dims, (*entry)->begin, (*entry)->end - (*entry)->begin);
}

expected<tensor> safetensors_file::read_rows(const std::string& name, std::int64_t first,
                                             std::int64_t count) const {
  auto entry = find(name);
  if (!entry) return tl::unexpected(entry.error());
  auto dims = (*entry)->dims;
  const auto rows = dims.empty() ? 0 : dims[0];
  if (first < 0 || count < 0 || first > rows || count > rows - first)
    return fail(error_code::over_limit, "[" + path_.string() + "] tensor '" + name + "': got rows from "
                                          + std::to_string(first) + ", " + std::to_string(count)
                                          + " of them, limit " + std::to_string(rows));
  const auto bytes = (*entry)->end - (*entry)->begin;
  const auto row_bytes = rows == 0 ? 0 : bytes / static_cast<std::uint64_t>(rows);
  dims[0] = count;
  return read_range(name, **entry, dims, (*entry)->begin + static_cast<std::uint64_t>(first) * row_bytes,
                    static_cast<std::uint64_t>(count) * row_bytes);
}

expected<tensor> safetensors_file::read_range(const std::string& name, const safetensors_entry& entry,
                                              std::span<const std::int64_t> dims, std::uint64_t begin,
                                              std::uint64_t size) const {
  const auto type = type_from(entry.type);
  const auto complain = [&](const std::string& what) {
    return fail(error_code::malformed, "[" + path_.string() + "] tensor '" + name + "', " + what);
  };
  if (!type) return complain("dtype: got " + entry.type + ", limit U8, I32, I64, F32 or F64");
  if (dims.size() > shape::rank_max)
    return complain("shape: got " + std::to_string(dims.size()) + " dimensions, limit "
                    + std::to_string(shape::rank_max));
  auto data = bytes(header_.buffer_begin + begin, size);
  if (!data) return tl::unexpected(data.error());
  return tensor(*type, shape(dims), std::move(*data));
}

expected<blob> safetensors_file::bytes(std::uint64_t offset, std::uint64_t size) const {
  if (file_) return file_->read(offset, size);
  return blob::copy_of(memory_.bytes().subspan(offset, size)); // a copy, so that it is aligned
}

// -- writing ------------------------------------------------------------------

std::string safetensors_type(dtype type) {
  switch (type) {
    case dtype::u8: return "U8";
    case dtype::i32: return "I32";
    case dtype::i64: return "I64";
    case dtype::f32: return "F32";
    case dtype::f64: return "F64";
  }
  return "?";
}

expected<safetensors_layout> lay_out(std::span<const named_tensor> tensors,
                                     const safetensors_metadata& metadata) {
  safetensors_layout layout;
  std::set<std::string_view> names;
  for (const auto& item : tensors) {
    if (item.name == "__metadata__" || !item.value.present() || !names.insert(item.name).second)
      return fail(error_code::malformed, "[safetensors] tensor '" + item.name
                                           + "': got a reserved name, a name twice or no value, "
                                             "limit one present tensor for each name");
    layout.order.push_back(&item);
  }
  std::sort(layout.order.begin(), layout.order.end(), [](const named_tensor* a, const named_tensor* b) {
    const auto size_a = size_of(a->value.type()), size_b = size_of(b->value.type());
    return size_a != size_b ? size_a > size_b : a->name < b->name;
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const auto* item : layout.order) {
    const auto end = offset + item->value.bytes();
    const auto dims = item->value.dims().dims();
    header[item->name] = {{"dtype", safetensors_type(item->value.type())},
                          {"shape", std::vector<std::int64_t>(dims.begin(), dims.end())},
                          {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception& problem) {
    return fail(error_code::malformed,
                std::string("[safetensors] tensor names and metadata: ") + problem.what());
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size();
  layout.head.assign(reinterpret_cast<const char*>(&length), sizeof length);
  layout.head += text;
  return layout;
}

expected<blob> safetensors_bytes(std::span<const named_tensor> tensors,
                                 const safetensors_metadata& metadata) {
  auto layout = lay_out(tensors, metadata);
  if (!layout) return tl::unexpected(layout.error());
  std::size_t size = layout->head.size();
  for (const auto* item : layout->order) size += item->value.bytes();
  auto result = blob::allocate(size);
  auto* to = result.mutable_data();
  std::memcpy(to, layout->head.data(), layout->head.size());
  to += layout->head.size();
  for (const auto* item : layout->order) {
    if (item->value.bytes() != 0) std::memcpy(to, item->value.data().data(), item->value.bytes());
    to += item->value.bytes();
  }
  return result;
}

expected<void> write_safetensors(const std::filesystem::path& path, std::span<const named_tensor> tensors,
                                 const safetensors_metadata& metadata) {
  auto bytes = safetensors_bytes(tensors, metadata);
  if (!bytes) return tl::unexpected(bytes.error());
  return write_file_atomically(path, {bytes->bytes()});
}

} // namespace troupe
