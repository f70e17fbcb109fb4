#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace troupe {

/// The order of `rows` rows in `epoch`: a Fisher–Yates shuffle whose draws are a function of (seed, epoch).
/// Every order is equally likely: 64-bit draws, with rejection (Lemire, "Fast random integer generation in an
/// interval", 2019).
std::vector<std::uint32_t> epoch_permutation(std::uint64_t seed, std::uint64_t epoch, std::uint32_t rows);

/// Keeps the two orders asked for last: the epoch in progress and the one before or after it. Thread-safe.
class permutation_cache {
public:
  using order = std::shared_ptr<const std::vector<std::uint32_t>>;

  permutation_cache(std::uint64_t seed, std::uint32_t rows);

  order get(std::uint64_t epoch);

private:
  static constexpr std::size_t kept = 2;

  std::uint64_t seed_;
  std::uint32_t rows_;
  std::mutex mutex_;
  std::vector<std::pair<std::uint64_t, order>> recent_; ///< latest last
};

} // namespace troupe
