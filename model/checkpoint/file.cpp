#include "model/checkpoint/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <string>
#include <utility>

namespace troupe {

namespace {

tl::unexpected<error> system_failure(const std::filesystem::path& path, const std::string& doing) {
  const auto number = errno;
  return fail(number == ENOENT ? error_code::not_found : error_code::unavailable,
              "[" + path.string() + "] " + doing + ": " + std::strerror(number));
}

/// Closes a file descriptor at the end of the scope.
struct descriptor {
  int number;

  ~descriptor() {
    if (number >= 0) ::close(number);
  }
};

expected<void> write_all(int file, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const auto written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return system_failure(path, "cannot write");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

/// Whether there is something that a rename must not take the place of: a device, a pipe, a directory.
bool is_special(const std::filesystem::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode);
}

/// Where a file's links lead. What they name at their end need not exist.
expected<std::filesystem::path> behind_links(std::filesystem::path path) {
  constexpr int links_max = 40; // as many as the kernel follows
  std::error_code problem;
  for (int links = 0; std::filesystem::is_symlink(path, problem); ++links) {
    if (links == links_max) {
      errno = ELOOP;
      return system_failure(path, "cannot follow");
    }
    path = path.parent_path() / std::filesystem::read_symlink(path, problem);
  }
  return path;
}

expected<void> write_in_place(const std::filesystem::path& path,
                              const std::vector<std::span<const std::byte>>& parts) {
  descriptor file{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
  if (file.number < 0) return system_failure(path, "cannot open");
  for (auto part : parts)
    if (auto ok = write_all(file.number, part, path); !ok) return ok;
  if (::close(std::exchange(file.number, -1)) != 0) return system_failure(path, "cannot close");
  return {};
}

} // namespace

expected<input_file> input_file::open(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe must not block
  if (file < 0) return system_failure(path, "cannot open");
  input_file result(path, file, 0);
  struct stat status {};
  if (::fstat(file, &status) != 0) return system_failure(path, "cannot inspect");
  if (!S_ISREG(status.st_mode))
    return fail(error_code::unavailable, "[" + path.string() + "] cannot read: not a plain file");
  result.size_ = static_cast<std::uint64_t>(status.st_size);
  return result;
}

input_file::input_file(std::filesystem::path path, int descriptor, std::uint64_t size)
  : path_(std::move(path)), descriptor_(descriptor), size_(size) {
  // nop
}

input_file::input_file(input_file&& other) noexcept
  : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {
  // nop
}

input_file& input_file::operator=(input_file&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

input_file::~input_file() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

expected<blob> input_file::read(std::uint64_t offset, std::uint64_t size) const {
  const auto too_short = [&](std::uint64_t have) {
    return fail(error_code::malformed, "[" + path_.string() + "] file length: got " + std::to_string(have)
                                         + " bytes, limit " + std::to_string(offset + size)
                                         + "; it was cut short");
  };
  if (offset > size_ || size > size_ - offset) return too_short(size_);
  auto result = blob::allocate(size);
  std::uint64_t done = 0;
  while (done < size) {
    const auto got = ::pread(descriptor_, result.mutable_data() + done, size - done,
                             static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure(path_, "cannot read");
    if (got == 0) return too_short(offset + done);
    done += static_cast<std::uint64_t>(got);
  }
  return result;
}

expected<blob> input_file::map() const {
  if (size_ == 0) return blob();
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED | MAP_POPULATE, descriptor_, 0);
  if (address == MAP_FAILED) return system_failure(path_, "cannot map");
  const auto size = size_;
  std::shared_ptr<const void> keeper(address,
                                     [size](const void* p) { ::munmap(const_cast<void*>(p), size); });
  return blob::borrow(keeper, static_cast<const std::byte*>(address), size);
}

expected<void> write_new_file(const std::filesystem::path& path,
                              const std::vector<std::span<const std::byte>>& parts) {
  descriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)};
  if (file.number < 0) return system_failure(path, "cannot create");
  for (auto part : parts)
    if (auto ok = write_all(file.number, part, path); !ok) return ok;
  if (::fsync(file.number) != 0) return system_failure(path, "cannot flush");
  // A full disk may show only when the file is closed.
  if (::close(std::exchange(file.number, -1)) != 0) return system_failure(path, "cannot close");
  return {};
}

expected<void> write_file_atomically(const std::filesystem::path& target,
                                     const std::vector<std::span<const std::byte>>& parts) {
  if (is_special(target)) return write_in_place(target, parts);
  const auto path = behind_links(target);
  if (!path) return tl::unexpected(path.error());
  const auto temporary = temporary_beside(*path);
  auto ok = write_new_file(temporary, parts);
  if (ok && ::rename(temporary.c_str(), path->c_str()) != 0) ok = system_failure(*path, "cannot rename to");
  if (!ok) {
    ::unlink(temporary.c_str());
    return ok;
  }
  return sync_directory(path->parent_path());
}

expected<void> write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  return write_file_atomically(path, {std::as_bytes(std::span(text.data(), text.size()))});
}

expected<void> check_file_target(const std::filesystem::path& target) {
  if (is_special(target)) {
    if (std::error_code problem; std::filesystem::is_directory(target, problem))
      errno = EISDIR;
    else if (::access(target.c_str(), W_OK) == 0)
      return {};
    return system_failure(target, "cannot write");
  }
  const auto path = behind_links(target);
  if (!path) return tl::unexpected(path.error());
  const auto trial = temporary_beside(*path);
  const descriptor file{::open(trial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)};
  if (file.number < 0) return system_failure(*path, "cannot create");
  ::unlink(trial.c_str());
  return {};
}

expected<void> sync_directory(const std::filesystem::path& path) {
  const auto& directory = path.empty() ? std::filesystem::path(".") : path;
  descriptor file{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (file.number < 0) return system_failure(directory, "cannot open");
  // Some file systems cannot flush a directory and say so with EINVAL.
  if (::fsync(file.number) != 0 && errno != EINVAL) return system_failure(directory, "cannot flush");
  return {};
}

std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  std::random_device device;
  auto result = path;
  result += ".tmp-" + std::to_string((std::uint64_t{device()} << 32U) | device());
  return result;
}

} // namespace troupe
