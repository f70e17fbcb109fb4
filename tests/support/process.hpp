#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace troupe::test {

using std::chrono::milliseconds;

/// How a process ended: by `return`/`exit` (code) or by a signal.
struct exit_status {
  int code = 0;   ///< exit code; meaningless when `signal` is not 0
  int signal = 0; ///< signal that ended it, or 0

  bool success() const { return code == 0 && signal == 0; }
  bool operator==(const exit_status&) const = default;
};

struct process_options {
  std::vector<std::pair<std::string, std::string>> environment; ///< set on top of the test's own
  std::string directory;                                        ///< working directory; empty: the test's own
  bool terminal = false; ///< stdout and stderr are one pseudo-terminal (both appear in output())
  int terminal_columns = 80;
};

/// A program run by a test. Its stdout and stderr are read by a thread, so that it never blocks on a full
/// pipe. It is the leader of a process group of its own; the destructor kills that group, and the kernel
/// kills the program if the test itself dies. Start it from the test's main thread: the kernel's rule follows
/// the thread that started it.
class process {
public:
  /// Starts `arguments[0]` (a path, or a name found through PATH). Throws std::runtime_error when it cannot.
  static process start(const std::vector<std::string>& arguments, const process_options& options = {});

  process(process&&) noexcept;
  process& operator=(process&&) noexcept;
  ~process();

  pid_t pid() const;
  /// Everything written so far.
  std::string output() const;
  std::string errors() const;

  /// Sends a signal to the program alone, or to its whole process group (as a terminal's Ctrl-C does).
  void send(int signal) const;
  void send_to_group(int signal) const;
  /// Changes the pseudo-terminal's width and lets the program know.
  void resize_terminal(int columns) const;

  /// Waits for the end; nullopt when the deadline passes first. Afterwards output() and errors() are
  /// complete.
  std::optional<exit_status> wait(milliseconds deadline);
  /// Waits until stdout (or stderr) contains `text`; false when the deadline passes or the stream ends
  /// without it.
  bool wait_for_output(const std::string& text, milliseconds deadline);
  bool wait_for_errors(const std::string& text, milliseconds deadline);

private:
  struct state;
  explicit process(std::unique_ptr<state> state);
  std::unique_ptr<state> state_;
};

/// What a program that ended in time left behind.
struct finished_process {
  exit_status status;
  bool timed_out = false; ///< it was killed when the deadline passed; `status` is then the kill
  std::string output;
  std::string errors;
  milliseconds duration{0};
};

/// Runs a program to its end, at most until the deadline.
finished_process run(const std::vector<std::string>& arguments, milliseconds deadline,
                     const process_options& options = {});

/// Polls until the condition holds; false when the deadline passes first.
bool wait_until(const std::function<bool()>& condition, milliseconds deadline);

/// Processes whose parent is `pid`, zombies included.
std::vector<pid_t> children_of(pid_t pid);
/// Whether the process runs: false for unknown ids and for zombies that nobody has collected yet.
bool is_running(pid_t pid);
/// The words of its command line; empty when it is gone.
std::vector<std::string> command_line_of(pid_t pid);

/// An empty folder that is removed with everything in it at the end of the scope.
class temporary_directory {
public:
  temporary_directory();
  ~temporary_directory();
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;

  const std::string& path() const { return path_; }
  /// The path of an entry in it.
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  /// Writes a file into it and returns its path.
  std::string write(const std::string& name, const std::string& content) const;

private:
  std::string path_;
};

/// The content of a file; empty when it cannot be read.
std::string read_file(const std::string& path);

} // namespace troupe::test
