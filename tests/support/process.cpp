#include "tests/support/process.hpp"

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace troupe::test {

using clock = std::chrono::steady_clock;

// ---- reading what a program writes ----------------------------------------------------------------------------------

namespace {

/// The two ends of a pipe or pseudo-terminal, and what has been read from it.
struct stream {
  int reader = -1;
  int writer = -1;
  std::string text;
  bool ended = false;
};

void close_if_open(int& descriptor) {
  if (descriptor >= 0) ::close(descriptor);
  descriptor = -1;
}

void open_pipe(stream& target) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error(std::string("pipe: ") + std::strerror(errno));
  target.reader = ends[0];
  target.writer = ends[1];
}

void open_terminal(stream& target, int columns) {
  winsize size{};
  size.ws_row = 24;
  size.ws_col = static_cast<unsigned short>(columns);
  if (::openpty(&target.reader, &target.writer, nullptr, nullptr, &size) != 0)
    throw std::runtime_error(std::string("openpty: ") + std::strerror(errno));
  ::fcntl(target.reader, F_SETFD, FD_CLOEXEC);
  ::fcntl(target.writer, F_SETFD, FD_CLOEXEC);
}

std::vector<std::string> merged_environment(const process_options& options) {
  std::vector<std::string> entries;
  auto overridden = [&](const std::string& entry) {
    for (const auto& [name, value] : options.environment)
      if (entry.rfind(name + "=", 0) == 0) return true;
    return false;
  };
  for (char** entry = environ; *entry != nullptr; ++entry)
    if (!overridden(*entry)) entries.emplace_back(*entry);
  for (const auto& [name, value] : options.environment) entries.push_back(name + "=" + value);
  return entries;
}

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// The child between fork and exec: only async-signal-safe calls.
[[noreturn]] void become(char** arguments, char** environment, const char* directory, int out, int err,
                         pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  if (*directory != '\0' && ::chdir(directory) != 0) ::_exit(126);
  environ = environment;
  ::execvp(arguments[0], arguments);
  ::_exit(127);
}

} // namespace

// ---- process --------------------------------------------------------------------------------------------------------

struct process::state {
  pid_t pid = -1;
  bool terminal = false;
  std::optional<exit_status> status;
  stream out;
  stream err;
  std::mutex mutex;
  std::condition_variable changed;
  std::thread reading;

  void take_from(stream& source) {
    char buffer[65536];
    const auto size = ::read(source.reader, buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) return;
    const std::lock_guard lock(mutex);
    if (size <= 0) // a pseudo-terminal answers EIO once its last user is gone
      source.ended = true;
    else
      source.text.append(buffer, static_cast<std::size_t>(size));
    changed.notify_all();
  }

  void read_all() {
    while (!out.ended || !err.ended) {
      pollfd polled[2] = {{out.ended ? -1 : out.reader, POLLIN, 0}, {err.ended ? -1 : err.reader, POLLIN, 0}};
      if (::poll(polled, 2, -1) < 0 && errno != EINTR) return;
      if (polled[0].revents != 0) take_from(out);
      if (polled[1].revents != 0) take_from(err);
    }
  }

  bool wait_for(const stream& source, const std::string& text, milliseconds deadline) {
    std::unique_lock lock(mutex);
    const auto found = [&] { return source.text.find(text) != std::string::npos; };
    changed.wait_for(lock, deadline, [&] { return found() || source.ended; });
    return found();
  }

  bool collect() {
    int raw = 0;
    if (!status && ::waitpid(pid, &raw, WNOHANG) == pid)
      status = WIFSIGNALED(raw) ? exit_status{0, WTERMSIG(raw)} : exit_status{WEXITSTATUS(raw), 0};
    return status.has_value();
  }

  ~state() {
    // The group outlives its leader, so this also ends what the program left behind; without members it does
    // nothing.
    if (pid > 0) {
      ::kill(-pid, SIGKILL);
      if (!status) ::waitpid(pid, nullptr, 0);
    }
    if (reading.joinable()) reading.join();
    close_if_open(out.reader);
    close_if_open(err.reader);
  }
};

process::process(std::unique_ptr<state> state) : state_(std::move(state)) {
  // nop
}

process::process(process&&) noexcept = default;
process& process::operator=(process&&) noexcept = default;
process::~process() = default;

process process::start(const std::vector<std::string>& arguments, const process_options& options) {
  auto made = std::make_unique<state>();
  made->terminal = options.terminal;
  if (options.terminal) {
    open_terminal(made->out, options.terminal_columns);
    made->err.ended = true;
  } else {
    open_pipe(made->out);
    open_pipe(made->err);
  }
  auto words = arguments;
  auto entries = merged_environment(options);
  auto word_pointers = pointers_to(words);
  auto entry_pointers = pointers_to(entries);
  const int err = options.terminal ? made->out.writer : made->err.writer;
  const auto parent = ::getpid();
  made->pid = ::fork();
  if (made->pid == 0)
    become(word_pointers.data(), entry_pointers.data(), options.directory.c_str(), made->out.writer, err,
           parent);
  if (made->pid < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
  ::setpgid(made->pid, made->pid);
  close_if_open(made->out.writer);
  close_if_open(made->err.writer);
  made->reading = std::thread([raw = made.get()] { raw->read_all(); });
  return process(std::move(made));
}

pid_t process::pid() const {
  return state_->pid;
}

std::string process::output() const {
  const std::lock_guard lock(state_->mutex);
  return state_->out.text;
}

std::string process::errors() const {
  const std::lock_guard lock(state_->mutex);
  return state_->err.text;
}

void process::send(int signal) const {
  if (!state_->status) ::kill(state_->pid, signal);
}

void process::send_to_group(int signal) const {
  ::kill(-state_->pid, signal);
}

void process::resize_terminal(int columns) const {
  winsize size{};
  size.ws_row = 24;
  size.ws_col = static_cast<unsigned short>(columns);
  ::ioctl(state_->out.reader, TIOCSWINSZ, &size);
  send(SIGWINCH);
}

std::optional<exit_status> process::wait(milliseconds deadline) {
  const auto end = clock::now() + deadline;
  if (!wait_until([this] { return state_->collect(); }, deadline)) return std::nullopt;
  // A descendant that lives on may hold the streams open: read what comes until the deadline, not for ever.
  std::unique_lock lock(state_->mutex);
  state_->changed.wait_until(lock, end, [this] { return state_->out.ended && state_->err.ended; });
  return state_->status;
}

bool process::wait_for_output(const std::string& text, milliseconds deadline) {
  return state_->wait_for(state_->out, text, deadline);
}

bool process::wait_for_errors(const std::string& text, milliseconds deadline) {
  return state_->wait_for(state_->err, text, deadline);
}

finished_process run(const std::vector<std::string>& arguments, milliseconds deadline,
                     const process_options& options) {
  const auto begin = clock::now();
  auto child = process::start(arguments, options);
  finished_process result;
  auto status = child.wait(deadline);
  if (!status) {
    result.timed_out = true;
    child.send_to_group(SIGKILL);
    status = child.wait(milliseconds(5000));
  }
  result.status = status.value_or(exit_status{0, SIGKILL});
  result.duration = std::chrono::duration_cast<milliseconds>(clock::now() - begin);
  result.output = child.output();
  result.errors = child.errors();
  return result;
}

bool wait_until(const std::function<bool()>& condition, milliseconds deadline) {
  const auto end = clock::now() + deadline;
  while (!condition()) {
    if (clock::now() >= end) return false;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return true;
}

} // namespace troupe::test
