#include "launcher/child.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace troupe::launcher {

// ---- starting -------------------------------------------------------------------------------------------------------

namespace {

enum : int { events_stream, output_stream, errors_stream };

/// The child's end of the event pipe; 0–2 are the standard streams.
constexpr int events_descriptor = 3;

struct pipe_ends {
  int reader = -1;
  int writer = -1;
};

void close_all(pipe_ends (&pipes)[3]) {
  for (auto& ends : pipes) {
    if (ends.reader >= 0) ::close(ends.reader);
    if (ends.writer >= 0) ::close(ends.writer);
    ends = {};
  }
}

/// Both ends are closed at exec. The writers lie above the descriptors that become() fills, whatever the
/// launcher inherited.
bool open_all(pipe_ends (&pipes)[3]) {
  for (auto& ends : pipes) {
    int raw[2];
    if (::pipe2(raw, O_CLOEXEC) != 0) return false;
    ends.reader = raw[0];
    ends.writer = ::fcntl(raw[1], F_DUPFD_CLOEXEC, events_descriptor + 1);
    ::close(raw[1]);
    ::fcntl(ends.reader, F_SETFL, O_NONBLOCK);
    if (ends.writer < 0) return false;
  }
  return true;
}

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> environment_with(const std::map<std::string, std::string>& defaults) {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) entries.emplace_back(*entry);
  for (const auto& [name, value] : defaults)
    if (::getenv(name.c_str()) == nullptr) entries.push_back(name + "=" + value);
  return entries;
}

/// The child between fork and exec.
[[noreturn]] void become(const char* program, char** arguments, char** environment,
                         const pipe_ends (&pipes)[3], pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) // the launcher died before the rule was set
    ::_exit(127);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD, SIGTSTP, SIGWINCH})
    ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, STDIN_FILENO);
  ::dup2(pipes[output_stream].writer, STDOUT_FILENO);
  ::dup2(pipes[errors_stream].writer, STDERR_FILENO);
  ::dup2(pipes[events_stream].writer, events_descriptor);
  ::execve(program, arguments, environment);
  ::_exit(127);
}

} // namespace

expected<child> child::start(const child_options& options) {
  if (::access(options.program.c_str(), X_OK) != 0)
    return fail(error_code::not_found, "[launcher] node program: got " + options.program + ": "
                                         + std::strerror(errno)
                                         + "; build it beside troupe or name it with --node-program");
  std::vector<std::string> words = {options.program};
  words.insert(words.end(), options.arguments.begin(), options.arguments.end());
  if (options.reports_events) words.insert(words.end(), {"--events-fd", std::to_string(events_descriptor)});
  auto entries = environment_with(options.environment);
  auto word_pointers = pointers_to(words);
  auto entry_pointers = pointers_to(entries);

  child made;
  made.name_ = options.name;
  pipe_ends pipes[3];
  const auto parent = ::getpid();
  if (!open_all(pipes) || (made.pid_ = ::fork()) < 0) {
    const std::string reason = std::strerror(errno);
    close_all(pipes);
    return fail(error_code::unavailable, "[launcher] cannot start " + options.name + ": " + reason
                                           + "; too many processes or open files?");
  }
  if (made.pid_ == 0)
    become(options.program.c_str(), word_pointers.data(), entry_pointers.data(), pipes, parent);
  ::setpgid(made.pid_, made.pid_); // both sides do it, whoever comes first; fails harmlessly after exec
  for (int which = 0; which < 3; ++which) made.descriptors_[which] = std::exchange(pipes[which].reader, -1);
  close_all(pipes);
  return made;
}

child::child(child&& other) noexcept
  : name_(std::move(other.name_)), pid_(std::exchange(other.pid_, -1)), sent_(other.sent_),
    status_(other.status_), events_(std::move(other.events_)), events_sound_(other.events_sound_),
    output_(std::move(other.output_)), errors_(std::move(other.errors_)) {
  for (int which = 0; which < 3; ++which) descriptors_[which] = std::exchange(other.descriptors_[which], -1);
}

child::~child() {
  if (pid_ > 0 && running()) {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  for (const int descriptor : descriptors_)
    if (descriptor >= 0) ::close(descriptor);
}

// ---- signals and ends -----------------------------------------------------------------------------------------------

void child::send(int signal) {
  if (pid_ <= 0 || !running()) return;
  if (signal == SIGTERM || signal == SIGKILL) sent_ = sent_ == SIGKILL ? SIGKILL : signal;
  ::kill(pid_, signal);
}

bool child::collect() {
  if (pid_ <= 0 || !running()) return false;
  int raw = 0;
  const auto which = ::waitpid(pid_, &raw, WNOHANG);
  if (which < 0 && errno == ECHILD) // the kernel has, where SIGCHLD is ignored
    status_ = exit_status{0, 0, false};
  else if (which == pid_)
    status_ = WIFSIGNALED(raw) ? exit_status{0, WTERMSIG(raw)} : exit_status{WEXITSTATUS(raw), 0};
  return !running();
}

std::string exit_status::text() const {
  if (!known) return "ended, and nobody knows how";
  if (signal != 0) return "was killed by signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
  return "exited with code " + std::to_string(code);
}

// ---- streams --------------------------------------------------------------------------------------------------------

void child::read_available() {
  for (int which = 0; which < 3; ++which)
    if (descriptors_[which] >= 0) read_from(which);
}

void child::read_from(int which) {
  char buffer[65536];
  // Bounded, so that a child that writes without end does not keep us from the others: 64 buffers are more
  // than a pipe holds.
  for (int round = 0; round < 64; ++round) {
    const auto size = ::read(descriptors_[which], buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
      ::close(std::exchange(descriptors_[which], -1));
      return;
    }
    const std::string_view bytes(buffer, static_cast<std::size_t>(size));
    if (which == events_stream) {
      events_sound_ = events_.append(bytes) && events_sound_;
    } else if (which == output_stream) {
      output_.append(bytes.substr(0, output_bytes_max - std::min(output_bytes_max, output_.size())));
    } else {
      errors_ += bytes;
      if (errors_.size() > errors_bytes_max) errors_.erase(0, errors_.size() - errors_bytes_max);
    }
  }
}

std::vector<std::string> child::last_words(std::size_t lines) const {
  line_buffer cutter;
  cutter.append(errors_);
  std::vector<std::string> words;
  std::string line;
  while (cutter.next(line)) words.push_back(line);
  if (auto rest = cutter.rest(); !rest.empty()) words.push_back(rest);
  if (words.size() > lines) words.erase(words.begin(), words.end() - static_cast<std::ptrdiff_t>(lines));
  return words;
}

} // namespace troupe::launcher
