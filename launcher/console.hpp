#pragma once

#include "messages/error.hpp"

#include <optional>
#include <string>
#include <vector>

/// Words to people: results on stdout, errors and warnings on stderr as one line each.
namespace troupe::launcher {

constexpr int exit_success = 0;
constexpr int exit_failure = 1;
constexpr int exit_usage = 2;
constexpr int exit_interrupted = 130;

/// Reserves the descriptors 0 to 2 where they are closed, so that no file or signal of ours gets one of them:
/// what is written to such a stream is still an error. At the start of a program.
void keep_standard_streams();

/// Text for stdout, which gets it with the next `flush_text` or message on stderr.
void print_text(const std::string& text);
/// Writes what there is for stdout. If nobody reads it waits, but no longer than until a signal asks us to
/// end: then what is left, and all that follows, is dropped. Messages on stderr are written in the same way.
void flush_text();
/// Nothing more will be written to stdout: `code`, or exit_failure with a line on stderr if something of it
/// is lost.
int print_end(int code);
/// 2 for `usage`, 1 for everything else.
int exit_code_of(error_code code);

/// `troupe: error: …`; line ends in the text become blanks. Returns the exit code.
int print_error(const error& problem);
/// `troupe: warning: …`
void print_warning(const std::string& text);
/// `troupe: …` on stderr.
void print_notice(const std::string& text);
/// Lines that a process left on its stderr, under an error: `  node-1: …`.
void print_last_words(const std::string& name, const std::vector<std::string>& lines);

/// What ended a run, and what the process at fault said last.
struct failure {
  error problem;
  std::string name;
  std::vector<std::string> last_words;
};

} // namespace troupe::launcher
