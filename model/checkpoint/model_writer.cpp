#include "model/checkpoint/file.hpp"
#include "model/checkpoint/model_directory.hpp"
#include "model/checkpoint/safetensors.hpp"
#include "model/sha256.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

namespace troupe {

namespace {

namespace fs = std::filesystem;

tl::unexpected<error> unavailable(const fs::path& path, const std::string& what, int number) {
  return fail(error_code::unavailable, "[" + path.string() + "] " + what + ": " + std::strerror(number));
}

/// Absolute, without links, "..", or a slash at the end.
fs::path resolved(const fs::path& directory) {
  std::error_code problem;
  auto full = fs::weakly_canonical(fs::absolute(directory, problem), problem);
  return full.has_filename() ? full : full.parent_path();
}

/// Everything in `directory` must belong to the model in it, because all of it gives way to the new one.
expected<void> check_contents(const fs::path& directory) {
  const auto refuse = [&](const std::string& got) {
    return fail(error_code::usage,
                "--save: got '" + directory.string() + "', which " + got
                  + ", limit a new or empty directory, or a saved model; choose another directory");
  };
  std::error_code problem;
  if (fs::is_empty(directory, problem)) return {};
  std::set<std::string> known{manifest::file_name};
  if (fs::exists(directory / manifest::file_name, problem)) {
    const auto old = model_directory::open(directory);
    if (!old) return refuse("holds a damaged model (" + old.error().text + ")");
    for (auto owner : old->owners()) known.insert(owner_name(owner) + ".safetensors");
  }
  fs::directory_iterator entries(directory, problem);
  if (problem) return unavailable(directory, "cannot list", problem.value());
  for (const auto& entry : entries) {
    const auto name = entry.path().filename().string();
    if (!known.contains(name)) return refuse("holds '" + name + "'");
  }
  return {};
}

/// The nearest directory above that exists must take a new one: only trying tells, for root may write
/// everywhere.
expected<void> check_parent(const fs::path& directory) {
  std::error_code problem;
  auto above = directory.parent_path();
  while (!fs::exists(above, problem) && above.has_relative_path()) above = above.parent_path();
  if (!fs::is_directory(above, problem))
    return fail(error_code::usage, "--save: got '" + directory.string() + "' below '" + above.string()
                                     + "', limit a directory below a directory");
  const auto trial = temporary_beside(above / directory.filename());
  if (::mkdir(trial.c_str(), 0777) != 0)
    return unavailable(above, "--save: cannot create a directory there", errno);
  ::rmdir(trial.c_str());
  return {};
}

/// Writes one owner's file and describes it.
expected<manifest_file> write_owner(const fs::path& directory, const owner_parameters& part) {
  manifest_file record{part.owner, owner_name(part.owner) + ".safetensors", 0, {}, {}};
  const auto bytes = safetensors_bytes(part.values,
                                       {{"format", manifest::format}, {"owner", owner_name(part.owner)}});
  if (!bytes) return tl::unexpected(bytes.error());
  record.bytes = bytes->size();
  record.sha256 = sha256_hex(bytes->bytes());
  for (const auto& item : part.values) {
    const auto dims = item.value.dims().dims();
    record.tensors.push_back({item.name,
                              safetensors_type(item.value.type()),
                              {dims.begin(), dims.end()},
                              sha256_hex(item.value.data().bytes())});
  }
  if (auto ok = write_new_file(directory / record.name, {bytes->bytes()}); !ok)
    return tl::unexpected(ok.error());
  return record;
}

/// Fills the new directory, manifest last. Returns the digest.
expected<std::string> fill(const fs::path& directory, const configuration& config, std::uint64_t updates,
                           std::span<const owner_parameters> owners) {
  manifest content{{config, updates, digest_of(owners)}, {}};
  for (const auto& part : owners) {
    auto record = write_owner(directory, part);
    if (!record) return tl::unexpected(record.error());
    content.files.push_back(std::move(*record));
  }
  std::sort(content.files.begin(), content.files.end(),
            [](const auto& a, const auto& b) { return canonical_less(a.owner, b.owner); });
  const auto text = content.to_json();
  const auto path = directory / manifest::file_name;
  if (auto readable = manifest::parse(text, path.string()); !readable)
    return tl::unexpected(readable.error());
  if (auto ok = write_new_file(path, {std::as_bytes(std::span(text))}); !ok)
    return tl::unexpected(ok.error());
  if (auto ok = sync_directory(directory); !ok) return tl::unexpected(ok.error());
  return content.description.digest;
}

/// Puts `fresh` where `directory` is. Afterwards `fresh` is the old directory, or absent.
expected<void> exchange(const fs::path& fresh, const fs::path& directory) {
  // An absent or empty directory gives way to a plain rename.
  if (::rename(fresh.c_str(), directory.c_str()) == 0) return {};
  if (errno != ENOTEMPTY && errno != EEXIST) return unavailable(directory, "cannot rename to", errno);
  if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, directory.c_str(), RENAME_EXCHANGE) == 0) return {};
  if (errno != EINVAL && errno != ENOSYS) return unavailable(directory, "cannot exchange", errno);
  // File systems without an exchange: for a moment there is no directory of that name, but never half a
  // model.
  const auto aside = temporary_beside(directory);
  if (::rename(directory.c_str(), aside.c_str()) != 0)
    return unavailable(directory, "cannot move aside", errno);
  if (::rename(fresh.c_str(), directory.c_str()) != 0) {
    const auto number = errno;
    ::rename(aside.c_str(), directory.c_str());
    return unavailable(directory, "cannot rename to", number);
  }
  ::rename(aside.c_str(), fresh.c_str());
  return {};
}

} // namespace

expected<void> check_model_target(const std::filesystem::path& directory) {
  if (directory.empty()) return fail(error_code::usage, "--save: got an empty name, limit a directory");
  const auto path = resolved(directory);
  std::error_code problem;
  if (fs::exists(path, problem)) {
    if (!fs::is_directory(path, problem))
      return fail(error_code::usage,
                  "--save: got the file '" + path.string() + "', limit a directory; choose another name");
    if (auto ok = check_contents(path); !ok) return ok;
  }
  return check_parent(path);
}

expected<std::string> write_model(const std::filesystem::path& directory, const configuration& config,
                                  std::uint64_t updates, std::span<const owner_parameters> owners) {
  if (auto ok = check_model_target(directory); !ok) return tl::unexpected(ok.error());
  const auto path = resolved(directory);
  const auto fresh = temporary_beside(path);
  std::error_code problem;
  fs::create_directories(path.parent_path(), problem);
  if (problem) return unavailable(path.parent_path(), "cannot create", problem.value());
  if (::mkdir(fresh.c_str(), 0777) != 0) return unavailable(fresh, "cannot create", errno);
  auto digest = fill(fresh, config, updates, owners);
  if (digest)
    if (auto ok = exchange(fresh, path); !ok) digest = tl::unexpected(ok.error());
  fs::remove_all(fresh, problem);
  if (!digest) return digest;
  if (auto ok = sync_directory(path.parent_path()); !ok) return tl::unexpected(ok.error());
  return digest;
}

} // namespace troupe
