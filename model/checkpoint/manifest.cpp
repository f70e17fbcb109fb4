#include "model/checkpoint/manifest.hpp"

#include "model/checkpoint/digest.hpp"
#include "model/checkpoint/strict_json.hpp"
#include "model/sha256.hpp"

#include <algorithm>
#include <limits>
#include <map>

namespace troupe {

namespace {

using json = nlohmann::json;
using ordered_json = nlohmann::ordered_json;

ordered_json to_value(const manifest_file& file) {
  ordered_json tensors = ordered_json::array();
  for (const auto& t : file.tensors)
    tensors.push_back({{"name", t.name}, {"dtype", t.type}, {"shape", t.dims}, {"sha256", t.sha256}});
  ordered_json owner;
  if (file.owner.is_dense())
    owner = {{"stage", file.owner.layer}};
  else
    owner = {{"layer", file.owner.layer}, {"expert", file.owner.expert}, {"slice", file.owner.slice}};
  return {{"name", file.name},
          {"owner", owner},
          {"bytes", file.bytes},
          {"sha256", file.sha256},
          {"tensors", tensors}};
}

/// The manifest's checksum: over the JSON without that field, keys sorted, no spaces.
std::string checksum(json value) {
  value.erase("sha256");
  return sha256_hex(value.dump());
}

/// Reads typed fields out of JSON; keeps the first complaint and answers with defaults after it.
class field_reader {
public:
  explicit field_reader(std::string where) : where_(std::move(where)) {
    // nop
  }

  std::uint64_t number(const json& in, const char* key, std::uint64_t limit) {
    const auto* value = find(in, key);
    if (value == nullptr) return 0;
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > limit) {
      refuse(key, value->dump(), "a whole number from 0 to " + std::to_string(limit));
      return 0;
    }
    return value->get<std::uint64_t>();
  }

  std::string text(const json& in, const char* key) {
    const auto* value = find(in, key);
    if (value == nullptr) return {};
    if (!value->is_string()) refuse(key, value->dump(), "a string");
    return value->is_string() ? value->get<std::string>() : std::string();
  }

  std::string hash(const json& in, const char* key) {
    auto value = text(in, key);
    const auto digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    if (value.size() != 64 || !std::all_of(value.begin(), value.end(), digit))
      refuse(key, "'" + value + "'", "64 hex digits");
    return value;
  }

  /// An empty array after a complaint.
  const json& list(const json& in, const char* key) {
    static const json nothing = json::array();
    const auto* value = find(in, key);
    if (value != nullptr && !value->is_array()) refuse(key, value->type_name(), "an array");
    return value != nullptr && value->is_array() ? *value : nothing;
  }

  const json* find(const json& in, const char* key) {
    if (!in.is_object()) {
      refuse(key, std::string("it in ") + in.type_name(), "an object");
      return nullptr;
    }
    const auto i = in.find(key);
    if (i == in.end()) refuse(key, "none", "a value");
    return i == in.end() ? nullptr : &*i;
  }

  void refuse(const std::string& what, const std::string& got, const std::string& limit) {
    if (!problem_.empty()) return;
    problem_ = "[" + where_ + "] " + what + ": got " + (got.size() > 80 ? got.substr(0, 77) + "..." : got)
               + ", limit " + limit;
  }

  bool failed() const noexcept { return !problem_.empty(); }

  tl::unexpected<error> failure() const { return fail(error_code::malformed, problem_); }

private:
  std::string where_;
  std::string problem_;
};

owner_id read_owner(field_reader& read, const json& in) {
  constexpr std::uint64_t limit = owner_id::dense_part - 1;
  owner_id owner;
  if (in.is_object() && in.contains("stage")) {
    owner.layer = static_cast<std::uint16_t>(read.number(in, "stage", limit));
    owner.expert = owner_id::dense_part;
    return owner;
  }
  owner.layer = static_cast<std::uint16_t>(read.number(in, "layer", limit));
  owner.expert = static_cast<std::uint16_t>(read.number(in, "expert", limit));
  owner.slice = static_cast<std::uint16_t>(read.number(in, "slice", limit));
  return owner;
}

manifest_tensor read_tensor(field_reader& read, const json& in) {
  manifest_tensor record;
  record.name = read.text(in, "name");
  record.type = read.text(in, "dtype");
  for (const auto& dim : read.list(in, "shape")) {
    if (!dim.is_number_unsigned() || dim.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max())
      read.refuse("shape of " + record.name, dim.dump(), "whole numbers from 0");
    else
      record.dims.push_back(dim.get<std::int64_t>());
  }
  record.sha256 = read.hash(in, "sha256");
  return record;
}

manifest_file read_file(field_reader& read, const json& in) {
  manifest_file file;
  if (const auto* owner = read.find(in, "owner")) file.owner = read_owner(read, *owner);
  file.name = read.text(in, "name");
  const auto wanted = owner_name(file.owner) + ".safetensors";
  if (file.name != wanted) read.refuse("file name", "'" + file.name + "'", "'" + wanted + "', the owner's");
  file.bytes = read.number(in, "bytes", std::numeric_limits<std::int64_t>::max());
  file.sha256 = read.hash(in, "sha256");
  for (const auto& item : read.list(in, "tensors")) file.tensors.push_back(read_tensor(read, item));
  return file;
}

/// Owners in canonical order, none twice; in every layer the experts 0 … E-1.
void check_owners(field_reader& read, const manifest& result) {
  const auto& files = result.files;
  for (std::size_t i = 1; i < files.size(); ++i)
    if (!canonical_less(files[i - 1].owner, files[i].owner))
      read.refuse("files", files[i].name + " after " + files[i - 1].name,
                  "each owner once, in canonical order");
  std::map<std::uint16_t, std::uint32_t> experts; // per layer
  bool dense = false;
  for (const auto& file : files) {
    if (file.owner.is_dense())
      dense = true;
    else if (file.owner.slice == 0 && file.owner.expert != experts[file.owner.layer]++)
      read.refuse("files",
                  file.name + " after " + std::to_string(experts[file.owner.layer] - 1)
                    + " experts of its layer",
                  "experts numbered without a gap");
  }
  if (!dense || experts.empty())
    read.refuse("files", std::to_string(files.size()), "a dense part and experts");
  for (const auto& [layer, count] : experts)
    if (count != result.description.config.model.owners_per_layer())
      read.refuse("experts of layer " + std::to_string(layer), std::to_string(count),
                  std::to_string(result.description.config.model.owners_per_layer())
                    + ", the configuration's number");
}

} // namespace

std::string manifest::to_json() const {
  ordered_json out;
  out["format"] = format;
  out["version"] = version;
  out["updates"] = description.updates;
  out["digest"] = description.digest;
  out["configuration"] = ordered_json::parse(troupe::to_json(description.config));
  out["files"] = ordered_json::array();
  for (const auto& file : files) out["files"].push_back(to_value(file));
  out["sha256"] = checksum(json::parse(out.dump()));
  return out.dump(1) + "\n";
}

expected<manifest> manifest::parse(const std::string& text, const std::string& where) {
  const auto root = parse_strict_json(text, where);
  if (!root) return tl::unexpected(root.error());
  field_reader read(where);
  if (const auto got = read.text(*root, "format"); got != format)
    read.refuse("format", "'" + got + "'", std::string("'") + format + "'");
  if (const auto got = read.number(*root, "version", UINT32_MAX); got != version)
    read.refuse("version", std::to_string(got), std::to_string(version) + "; use the troupe that wrote it");
  if (read.failed()) return read.failure();
  if (read.hash(*root, "sha256") != checksum(*root))
    read.refuse("sha256", "another checksum than its content's",
                checksum(*root) + "; it was altered or damaged");
  if (read.failed()) return read.failure();
  manifest result;
  result.description.updates = read.number(*root, "updates", UINT64_MAX);
  result.description.digest = read.hash(*root, "digest");
  if (const auto* value = read.find(*root, "configuration")) {
    auto config = configuration_from_json(value->dump());
    if (!config) return fail(error_code::malformed, "[" + where + "] " + config.error().text);
    result.description.config = std::move(*config);
  }
  for (const auto& item : read.list(*root, "files")) result.files.push_back(read_file(read, item));
  check_owners(read, result);
  if (read.failed()) return read.failure();
  return result;
}

} // namespace troupe
