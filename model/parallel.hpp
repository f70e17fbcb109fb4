#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace troupe {

/// Calls f(0) … f(parts − 1), each once, where possible at the same time on threads that have nothing to do,
/// and returns when all are done. f must not throw. Parts are cut so that who computes which never shows in
/// the bits.
using parallel_for = std::function<void(std::size_t parts, const std::function<void(std::size_t)>& f)>;

/// One after the other, on the calling thread.
inline void alone(std::size_t parts, const std::function<void(std::size_t)>& f) {
  for (std::size_t i = 0; i < parts; ++i) f(i);
}

/// [0, count) in pieces that are multiples of `unit` (but for the last): enough to share `flops` of work,
/// each long enough, about 100 µs, to be worth waking a thread for.
struct pieces {
  std::int64_t count = 0;
  std::int64_t length = 1;

  pieces(std::int64_t count, std::int64_t unit, double flops) : count(count) {
    constexpr double flops_per_piece = 2e6;
    constexpr std::int64_t most = 16;
    const auto wanted = std::clamp(static_cast<std::int64_t>(flops / flops_per_piece), std::int64_t{1}, most);
    const auto units = (count + unit - 1) / unit;
    length = std::max(std::int64_t{1}, (units + wanted - 1) / wanted) * unit;
  }

  /// Calls f(first, length) for every piece.
  template <class F>
  void for_each(const parallel_for& share, F&& f) const {
    const auto number = static_cast<std::size_t>((count + length - 1) / length);
    const auto piece = [&](std::size_t i) {
      const auto first = static_cast<std::int64_t>(i) * length;
      f(first, std::min(length, count - first));
    };
    number > 1 ? share(number, piece) : alone(number, piece);
  }
};

} // namespace troupe
