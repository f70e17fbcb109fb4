#include "model/checkpoint/model_directory.hpp"

#include "model/checkpoint/file.hpp"
#include "model/checkpoint/safetensors.hpp"
#include "model/sha256.hpp"

#include <algorithm>
#include <system_error>

namespace troupe {

namespace {

/// Compares one file with its record in the manifest. Every complaint names the file, and the tensor if there
/// is one.
class file_checker {
public:
  file_checker(std::filesystem::path path, const manifest_file& record)
    : path_(std::move(path)), record_(record) {
    // nop
  }

  expected<owner_parameters> read() {
    auto input = input_file::open(path_);
    if (!input)
      return fail(input.error().code,
                  input.error().text + "; the manifest lists it with tensors " + tensor_names());
    if (input->size() != record_.bytes)
      return refuse("file length: got " + std::to_string(input->size()) + " bytes, limit "
                    + std::to_string(record_.bytes) + " (tensors " + tensor_names()
                    + "); it was cut short or replaced");
    auto bytes = input->read(0, input->size());
    if (!bytes) return tl::unexpected(bytes.error());
    auto file = safetensors_file::over(*bytes, path_);
    if (!file) return tl::unexpected(file.error());
    if (auto ok = check_owner(*file); !ok) return tl::unexpected(ok.error());
    owner_parameters result{record_.owner, {}};
    for (const auto& wanted : record_.tensors) {
      auto value = read_tensor(*file, wanted);
      if (!value) return tl::unexpected(value.error());
      result.values.push_back({wanted.name, std::move(*value)});
    }
    if (file->entries().size() != record_.tensors.size())
      return refuse("tensors: got " + std::to_string(file->entries().size()) + ", limit " + tensor_names());
    if (sha256_hex(bytes->bytes()) != record_.sha256)
      return refuse("header: got altered bytes, limit those of the manifest's SHA-256");
    return result;
  }

private:
  tl::unexpected<error> refuse(const std::string& what) const {
    return fail(error_code::malformed, "[" + path_.string() + "] " + what);
  }

  std::string tensor_names() const {
    std::string out;
    for (const auto& t : record_.tensors) out += (out.empty() ? "" : ", ") + t.name;
    return out;
  }

  expected<void> check_owner(const safetensors_file& file) const {
    const auto i = file.metadata().find("owner");
    const auto got = i == file.metadata().end() ? std::string("none") : i->second;
    if (got == owner_name(record_.owner)) return {};
    return refuse("owner of tensors " + tensor_names() + ": got " + got + ", limit "
                  + owner_name(record_.owner) + "; files were swapped");
  }

  expected<tensor> read_tensor(const safetensors_file& file, const manifest_tensor& wanted) const {
    auto value = file.read(wanted.name);
    if (!value) return value;
    const auto& entry = file.entries().at(wanted.name);
    if (entry.type != wanted.type || entry.dims != wanted.dims)
      return refuse("tensor '" + wanted.name + "': got " + entry.type + " " + to_string(value->dims())
                    + ", limit " + wanted.type + " and the shape in the manifest");
    if (const auto got = sha256_hex(value->data().bytes()); got != wanted.sha256)
      return refuse("tensor '" + wanted.name + "': got SHA-256 " + got + ", limit " + wanted.sha256
                    + "; it is damaged or of another save");
    return value;
  }

  std::filesystem::path path_;
  const manifest_file& record_;
};

} // namespace

expected<model_directory> model_directory::open(const std::filesystem::path& directory) {
  const auto path = directory / manifest::file_name;
  auto file = input_file::open(path);
  if (!file) {
    auto problem = file.error();
    std::error_code unknown;
    if (problem.code == error_code::not_found || !std::filesystem::is_directory(directory, unknown))
      problem.text += "; '" + directory.string() + "' is no saved model";
    return tl::unexpected(problem);
  }
  auto text = file->read(0, file->size());
  if (!text) return tl::unexpected(text.error());
  auto parsed = manifest::parse({reinterpret_cast<const char*>(text->data()), text->size()}, path.string());
  if (!parsed) return tl::unexpected(parsed.error());
  model_directory result;
  result.path_ = directory;
  result.manifest_ = std::move(*parsed);
  return result;
}

std::vector<owner_id> model_directory::owners() const {
  std::vector<owner_id> result;
  for (const auto& file : manifest_.files) result.push_back(file.owner);
  return result;
}

expected<owner_parameters> model_directory::read(owner_id owner) const {
  const auto i = std::find_if(manifest_.files.begin(), manifest_.files.end(),
                              [&](const auto& f) { return f.owner == owner; });
  if (i == manifest_.files.end())
    return fail(error_code::not_found, "[" + path_.string() + "] " + owner_name(owner)
                                         + ": got none, limit the owners in its manifest");
  return file_checker(path_ / i->name, *i).read();
}

expected<std::vector<owner_parameters>> model_directory::read_all() const {
  std::vector<owner_parameters> result;
  for (const auto& file : manifest_.files) {
    auto part = read(file.owner);
    if (!part) return tl::unexpected(part.error());
    result.push_back(std::move(*part));
  }
  if (const auto got = digest_of(result); got != description().digest)
    return fail(error_code::malformed, "[" + (path_ / manifest::file_name).string() + "] digest: got "
                                         + description().digest + ", limit " + got
                                         + ", that of the parameters");
  return result;
}

} // namespace troupe
