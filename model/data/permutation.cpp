#include "model/data/permutation.hpp"

#include "model/random.hpp"

#include <algorithm>
#include <array>
#include <numeric>

namespace troupe {

namespace {

/// Unbiased numbers below a bound, from consecutive draws of one stream.
class bounded_draws {
public:
  explicit bounded_draws(const philox_stream& stream) : stream_(stream) {
    // nop
  }

  std::uint64_t below(std::uint64_t bound) {
    __extension__ using wide = unsigned __int128;
    const auto threshold = (0 - bound) % bound; // 2^64 mod bound: so many low halves are rejected
    for (;;) {
      const auto product = static_cast<wide>(next()) * bound;
      if (static_cast<std::uint64_t>(product) >= threshold) return static_cast<std::uint64_t>(product >> 64);
    }
  }

private:
  std::uint64_t next() {
    if (drawn_ % 2 == 0) pair_ = stream_.bit_pair(drawn_ / 2);
    return pair_[drawn_++ % 2];
  }

  const philox_stream& stream_;
  std::uint64_t drawn_ = 0;
  std::array<std::uint64_t, 2> pair_{};
};

} // namespace

std::vector<std::uint32_t> epoch_permutation(std::uint64_t seed, std::uint64_t epoch, std::uint32_t rows) {
  const philox_stream stream(seed, "data/shuffle", 0, epoch);
  bounded_draws draws(stream);
  std::vector<std::uint32_t> order(rows);
  std::iota(order.begin(), order.end(), 0u);
  for (auto i = rows; i > 1; --i) std::swap(order[i - 1], order[draws.below(i)]);
  return order;
}

permutation_cache::permutation_cache(std::uint64_t seed, std::uint32_t rows) : seed_(seed), rows_(rows) {
  // nop
}

permutation_cache::order permutation_cache::get(std::uint64_t epoch) {
  const std::lock_guard lock(mutex_);
  const auto i = std::find_if(recent_.begin(), recent_.end(),
                              [&](const auto& entry) { return entry.first == epoch; });
  if (i != recent_.end()) {
    std::rotate(i, i + 1, recent_.end());
  } else {
    if (recent_.size() == kept) recent_.erase(recent_.begin());
    recent_.emplace_back(
      epoch, std::make_shared<const std::vector<std::uint32_t>>(epoch_permutation(seed_, epoch, rows_)));
  }
  return recent_.back().second;
}

} // namespace troupe
