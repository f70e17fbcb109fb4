#include "launcher/terminal.hpp"

#include "launcher/console.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <sys/ioctl.h>
#include <unistd.h>

namespace troupe::launcher {

namespace {

void write_out(const std::string& text) {
  print_text(text);
  flush_text();
}

bool starts_code_point(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    std::string text = value;
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text.find("utf-8") != std::string::npos || text.find("utf8") != std::string::npos;
  }
  return false;
}

} // namespace

terminal terminal::detect() {
  const char* kind = std::getenv("TERM");
  const bool capable = kind != nullptr && *kind != '\0' && std::string_view(kind) != "dumb";
  return {capable && ::isatty(STDOUT_FILENO) == 1, locale_is_utf8()};
}

std::size_t terminal_columns() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), starts_code_point));
}

std::string cut_to(std::string_view text, std::size_t columns) {
  std::size_t used = 0;
  for (std::size_t at = 0; at < text.size(); ++at)
    if (starts_code_point(text[at]) && used++ == columns) return std::string(text.substr(0, at));
  return std::string(text);
}

std::string bar(double share, std::size_t width, bool utf8) {
  static const char* eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto filled = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) * static_cast<double>(width) : 0.0;
  std::string text;
  if (!utf8) {
    const auto whole = static_cast<std::size_t>(std::lround(filled));
    return std::string(whole, '#') + std::string(width - whole, '.');
  }
  const auto parts = static_cast<std::size_t>(std::lround(filled * 8));
  for (std::size_t column = 0; column < parts / 8; ++column) text += "█";
  text += eighths[parts % 8];
  return text + std::string(width - columns_of(text), ' ');
}

// ---- live_region ----------------------------------------------------------------------------------------------------

std::string live_region::erase_sequence() const {
  if (shown_.empty()) return {};
  const auto width = std::max<std::size_t>(1, terminal_columns());
  std::size_t rows = 0;
  for (const auto& line : shown_) // a terminal that became narrower has wrapped them
    rows += std::max<std::size_t>(1, (columns_of(line) + width - 1) / width);
  std::string text = "\r";
  if (rows > 1) text += "\x1b[" + std::to_string(rows - 1) + "A";
  return text + "\x1b[J";
}

void live_region::draw(const std::vector<std::string>& lines) {
  if (!live_ || lines.empty()) return;
  auto text = erase_sequence();
  if (shown_.empty()) text += "\x1b[?25l";
  // The last column stays free: some terminals wrap as soon as it is written.
  const auto width = std::max<std::size_t>(2, terminal_columns()) - 1;
  shown_.clear();
  for (const auto& line : lines) {
    shown_.push_back(cut_to(line, width));
    text += (shown_.size() > 1 ? "\n" : "") + shown_.back();
  }
  write_out(text);
}

void live_region::clear() {
  if (shown_.empty()) return;
  write_out(erase_sequence() + "\x1b[?25h");
  shown_.clear();
}

void live_region::print_above(const std::string& line) {
  const auto again = shown_;
  clear();
  write_out(line + "\n");
  draw(again);
}

} // namespace troupe::launcher
