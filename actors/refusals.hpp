#pragma once

#include <algorithm>
#include <string_view>

namespace troupe {

/// Work is refused without anybody's fault when it comes late: of an earlier membership, or a repeat of what
/// all have done. Whoever sent it has gone on or will. Any other reason means that two members disagree, and
/// that sending again does not help.
inline bool came_late(std::string_view reason) {
  constexpr std::string_view late[] = {"old term", "the step is over", "no such work"};
  return std::ranges::any_of(late, [&](auto part) { return reason.find(part) != std::string_view::npos; });
}

} // namespace troupe
