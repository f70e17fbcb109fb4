#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::launcher {

/// What stdout can show.
struct terminal {
  bool live = false; ///< a terminal that understands cursor movement
  bool utf8 = false; ///< block characters may be used

  /// Looks at stdout, TERM and the locale's variables.
  static terminal detect();
};

/// Columns of the terminal on stdout now; 80 when it does not say.
std::size_t terminal_columns();

/// Columns a UTF-8 text takes (one per code point: we write no wide characters).
std::size_t columns_of(std::string_view text);
/// The text cut to at most that many columns.
std::string cut_to(std::string_view text, std::size_t columns);
/// A bar of `width` columns of which `share` (0 to 1) is filled, in eighths of a column where the terminal
/// can.
std::string bar(double share, std::size_t width, bool utf8);

/// Lines at the lower end of the terminal that are drawn again and again, with permanent lines above them.
/// Survives resizing: each line is cut to the width at the time, and the rows to go back are counted with the
/// width of now. Hides the cursor while it shows something; the destructor brings it back.
class live_region {
public:
  explicit live_region(bool live) : live_(live) {}
  ~live_region() { clear(); }
  live_region(const live_region&) = delete;
  live_region& operator=(const live_region&) = delete;

  /// Draws the lines in the place of the earlier ones; does nothing without a live terminal.
  void draw(const std::vector<std::string>& lines);
  /// Removes the lines and shows the cursor.
  void clear();
  /// Writes a permanent line to stdout, above the lines.
  void print_above(const std::string& line);

private:
  std::string erase_sequence() const;

  bool live_;
  std::vector<std::string> shown_;
};

} // namespace troupe::launcher
