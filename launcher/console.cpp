#include "launcher/console.hpp"

#include <algorithm>
#include <cstdio>

namespace troupe::launcher {

namespace {

void print_line(const char* kind, std::string text) {
  std::replace_if(
    text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  std::fflush(stdout);
  std::fprintf(stderr, "troupe: %s%s\n", kind, text.c_str());
}

} // namespace

void print_text(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

int print_end(int code) {
  const bool failed = std::ferror(stdout) != 0; // a flush on the way has failed
  if (std::fflush(stdout) == 0 && !failed) return code;
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
  for (const auto& line : lines) std::fprintf(stderr, "  %s: %s\n", name.c_str(), line.c_str());
}

} // namespace troupe::launcher
