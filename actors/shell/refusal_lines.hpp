#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

/// Makes few lines of many refusals: the first ones as they come, then one in `seconds_between`, which counts
/// those left out. So a stranger who floods a node does not flood the terminal of its user.
class refusal_lines {
public:
  static constexpr double lines_at_once = 4;
  static constexpr double seconds_between = 10;
  static constexpr std::size_t characters_max = 400;

  /// One more refusal, at `now_s` on a steady clock. The line to show, if it is time for one: printable
  /// characters only, since a stranger may have chosen them.
  std::optional<std::string> take(std::string_view why, double now_s) {
    allowed_ = std::min(lines_at_once, allowed_ + (now_s - last_s_) / seconds_between);
    last_s_ = now_s;
    if (allowed_ < 1) {
      ++left_out_;
      return std::nullopt;
    }
    allowed_ -= 1;
    std::string line("refused a message: ");
    line += why.substr(0, characters_max);
    std::ranges::replace_if(
      line, [](char c) { return c < ' ' || c > '~'; }, '?');
    if (left_out_ > 0) line += " (and " + std::to_string(left_out_) + " others since the last such line)";
    left_out_ = 0;
    return line;
  }

private:
  double allowed_ = lines_at_once;
  double last_s_ = 0;
  std::uint64_t left_out_ = 0;
};

} // namespace troupe
