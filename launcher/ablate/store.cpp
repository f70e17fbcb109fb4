#include "launcher/ablate/store.hpp"

#include "model/checkpoint/file.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace troupe::ablate {

namespace fs = std::filesystem;

namespace {

constexpr const char* metrics_ending = ".metrics";
constexpr const char* lock_name = ".lock"; ///< the first file of an ablation's folder

/// Metrics of cells that did not finish, and temporary files of a write that did not.
void clear_leftovers(const fs::path& cells) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(cells, ignored)) {
    const auto name = entry.path().filename().string();
    if (name.ends_with(metrics_ending) || name.find(".tmp-") != std::string::npos)
      fs::remove(entry.path(), ignored);
  }
}

} // namespace

expected<result_store> result_store::open(const fs::path& folder) {
  const auto refuse = [&](const std::string& why) {
    return fail(error_code::unavailable, "--out: got " + folder.string() + ": " + why);
  };
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) return refuse(failed.message() + "; choose a folder that can be written");
  std::error_code unreadable; // which opening the lock will tell
  if (!fs::exists(folder / lock_name, unreadable) && !fs::is_empty(folder, unreadable) && !unreadable)
    return refuse(
      "it holds other files, limit a new or empty folder, or an ablation's; choose another folder");
  const int lock = ::open((folder / lock_name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) return refuse(std::string(std::strerror(errno)) + "; choose a folder that can be written");
  result_store made(folder, lock);
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0)
    return refuse("another `troupe ablate` works there; wait for it or choose another folder");
  const auto cells = folder / "cells";
  fs::create_directories(cells, failed);
  if (failed) return refuse(failed.message() + "; choose a folder that can be written");
  clear_leftovers(cells);
  return made;
}

result_store::result_store(result_store&& other) noexcept
  : folder_(std::move(other.folder_)), lock_(std::exchange(other.lock_, -1)) {
  // nop
}

result_store::~result_store() {
  if (lock_ >= 0) ::close(lock_);
}

expected<std::optional<cell_result>> result_store::find(const cell& of) const {
  const auto path = result_path(of.hash);
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::optional<cell_result>();
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  auto result = result_from_json(text);
  if (!result) return fail(error_code::malformed, "[" + path.string() + "] " + result.error().text);
  if (result->hash != of.hash)
    return fail(error_code::malformed, "[" + path.string() + "] is the result of another cell");
  return std::optional(std::move(*result));
}

expected<void> result_store::save(const cell_result& result) const {
  return write_file_atomically(result_path(result.hash), to_json(result));
}

std::size_t result_store::others_than(const std::vector<cell>& cells) const {
  std::set<fs::path> own;
  for (const auto& each : cells) own.insert(result_path(each.hash));
  std::error_code failed; // who cannot read the folder is told by what is read next
  std::size_t others = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "cells", failed))
    others += entry.path().extension() == ".json" && !own.contains(entry.path()) ? 1 : 0;
  return others;
}

std::string result_store::metrics_path(const cell& of) const {
  return result_path(of.hash).replace_extension(metrics_ending).string();
}

fs::path result_store::result_path(const std::string& hash) const {
  return folder_ / "cells" / (hash.substr(0, 16) + ".json");
}

} // namespace troupe::ablate
