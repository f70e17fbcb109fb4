#pragma once

#include "launcher/events.hpp"
#include "messages/error.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace troupe::launcher {

/// How a process ended.
struct exit_status {
  int code = 0;
  int signal = 0;    ///< 0: it exited by itself
  bool known = true; ///< false: somebody else collected it

  bool success() const { return known && code == 0 && signal == 0; }
  /// "was killed by signal 9 (Killed)" or "exited with code 3".
  std::string text() const;
};

/// What to start.
struct child_options {
  std::string name;                               ///< for people: "head", "node-1"
  std::string program;                            ///< path of troupe-node
  std::vector<std::string> arguments;             ///< without the program
  std::map<std::string, std::string> environment; ///< set unless the user's environment has the name already
  bool reports_events = true;                     ///< takes `--events-fd N`
};

/// A node process and the three streams from it: events, stdout and stderr. Single-threaded: belongs to the
/// thread that started it, and that thread's end is also the child's (PR_SET_PDEATHSIG follows the parent
/// thread), even when the launcher is killed with SIGKILL. The child leads a process group of its own, so
/// that a terminal's Ctrl-C reaches the launcher alone.
class child {
public:
  /// Errors: `not_found` when the program is no executable file, `unavailable` when the kernel gives no
  /// process.
  static expected<child> start(const child_options& options);

  child(child&& other) noexcept;
  child& operator=(child&&) = delete;
  ~child(); ///< kills and collects it if it still runs

  const std::string& name() const { return name_; }
  pid_t pid() const { return pid_; }
  bool running() const { return !status_.has_value(); }
  const std::optional<exit_status>& status() const { return status_; }

  /// Signals it unless it has ended. The first deliberate signal is remembered: its end is then no surprise.
  void send(int signal);
  /// The strongest ending signal sent with send(); 0: none.
  int sent() const { return sent_; }
  /// Collects it if it has ended; true the first time.
  bool collect();

  /// Descriptors to poll: events, stdout, stderr; -1 once ended.
  const int* descriptors() const { return descriptors_; }
  /// Reads what is there without waiting.
  void read_available();
  /// Next whole event line.
  bool next_line(std::string& line) { return events_.next(line); }
  /// False when an event line was too long to be one.
  bool events_sound() const { return events_sound_; }

  const std::string& output() const { return output_; }
  /// The last lines of its stderr (at most `lines`), without line ends.
  std::vector<std::string> last_words(std::size_t lines) const;

  static constexpr std::size_t output_bytes_max = std::size_t{16} << 20; ///< stdout is kept up to here
                                                                         ///< (status of 1,024 nodes)
  static constexpr std::size_t errors_bytes_max = std::size_t{16} << 10; ///< the end of stderr

private:
  child() = default;
  void read_from(int which);

  std::string name_;
  pid_t pid_ = -1;
  int sent_ = 0;
  std::optional<exit_status> status_;
  int descriptors_[3] = {-1, -1, -1};
  line_buffer events_;
  bool events_sound_ = true;
  std::string output_;
  std::string errors_;
};

} // namespace troupe::launcher
