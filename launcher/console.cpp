#include "launcher/console.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string_view>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace troupe::launcher {

namespace {

/// What a pipe takes without blocking when poll() says that it can be written to.
constexpr std::size_t bytes_at_once = 4096;
constexpr int milliseconds_between_looks = 50;

enum class delivery { complete, failed, given_up };

/// The supervisor blocks signals and reads them between two lines of output.
bool asked_to_end() {
  sigset_t waiting;
  ::sigpending(&waiting);
  return ::sigismember(&waiting, SIGINT) == 1 || ::sigismember(&waiting, SIGTERM) == 1;
}

/// Writes all of it, however long nobody reads, but not beyond a signal that asks us to end.
delivery write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    pollfd reader{descriptor, POLLOUT, 0};
    if (::poll(&reader, 1, milliseconds_between_looks) == 0) {
      if (asked_to_end()) return delivery::given_up;
      continue;
    }
    const auto written = ::write(descriptor, text.data(), std::min(text.size(), bytes_at_once));
    if (written < 0 && errno != EINTR && errno != EAGAIN) return delivery::failed;
    text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(0, written)));
  }
  return delivery::complete;
}

/// A stream of output; once its reader has failed, or has been given up, nothing more is written.
class output {
public:
  explicit output(int descriptor) : descriptor_(descriptor) {}

  void keep(std::string_view text) { kept_ += text; }

  void flush() {
    if (state_ == delivery::complete) state_ = write_all(descriptor_, kept_);
    kept_.clear();
  }

  bool failed() const { return state_ == delivery::failed; }

private:
  int descriptor_;
  std::string kept_;
  delivery state_ = delivery::complete;
};

output results(STDOUT_FILENO);
output messages(STDERR_FILENO);

void print_message(const std::string& line) {
  flush_text();
  messages.keep(line + "\n");
  messages.flush();
}

void print_line(const char* kind, std::string text) {
  std::replace_if(
    text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  print_message(std::string("troupe: ") + kind + text);
}

} // namespace

void keep_standard_streams() {
  int descriptor = ::open("/dev/null", O_RDONLY); // the lowest that is free
  while (descriptor >= 0 && descriptor <= STDERR_FILENO) descriptor = ::dup(descriptor);
  ::close(descriptor);
}

void print_text(const std::string& text) {
  results.keep(text);
}

void flush_text() {
  results.flush();
}

int print_end(int code) {
  flush_text();
  if (!results.failed()) return code;
  print_line("error: ", "[output] stdout: cannot write all of it; is its disk full?");
  return code == exit_success ? exit_failure : code;
}

int exit_code_of(error_code code) {
  return code == error_code::usage ? exit_usage : exit_failure;
}

int print_error(const error& problem) {
  print_line("error: ", problem.text);
  return exit_code_of(problem.code);
}

void print_warning(const std::string& text) {
  print_line("warning: ", text);
}

void print_notice(const std::string& text) {
  print_line("", text);
}

void print_last_words(const std::string& name, const std::vector<std::string>& lines) {
  for (const auto& line : lines) print_message("  " + name + ": " + line);
}

} // namespace troupe::launcher
