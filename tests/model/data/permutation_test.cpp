#include "model/data/permutation.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <map>
#include <numeric>

using namespace troupe;

using order = std::vector<std::uint32_t>;

TEST_CASE("shuffles are those of a Philox stream written down in another language", "[unit]") {
  // Python integers: FNV-1a of "data/shuffle", Philox-4x32-10 chained over (purpose, 0, epoch, 0, 0),
  // Fisher-Yates from the end.
  CHECK(epoch_permutation(7, 0, 10) == order{4, 9, 1, 3, 7, 8, 5, 6, 0, 2});
  CHECK(epoch_permutation(7, 1, 10) == order{4, 8, 9, 7, 2, 3, 0, 5, 6, 1});
  CHECK(epoch_permutation((std::uint64_t{1} << 40) + 3, 2, 10) == order{0, 9, 2, 7, 4, 6, 5, 8, 3, 1});
}

TEST_CASE("a shuffle has every row once", "[unit]") {
  auto rows = epoch_permutation(3, 5, 60000);
  CHECK(rows != epoch_permutation(3, 6, 60000));
  CHECK(rows != epoch_permutation(4, 5, 60000));
  CHECK(rows == epoch_permutation(3, 5, 60000));
  std::ranges::sort(rows);
  order all(60000);
  std::iota(all.begin(), all.end(), 0u);
  CHECK(rows == all);
  CHECK(epoch_permutation(3, 5, 1) == order{0});
}

TEST_CASE("all orders of four rows are equally likely", "[unit]") {
  constexpr int draws = 24000;
  std::map<order, int> counts;
  for (int epoch = 0; epoch < draws; ++epoch)
    ++counts[epoch_permutation(11, static_cast<std::uint64_t>(epoch), 4)];
  CHECK(counts.size() == 24);
  double chi_square = 0;
  for (const auto& [key, count] : counts) chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  CHECK(chi_square < 49.7); // 23 degrees of freedom: exceeded by chance once in a thousand
}

TEST_CASE("the cache keeps the last two epochs", "[unit]") {
  permutation_cache cache(1, 100);
  const auto zero = cache.get(0);
  const auto one = cache.get(1);
  CHECK(cache.get(0) == zero);
  const auto two = cache.get(2);
  CHECK(cache.get(0) == zero);
  CHECK(cache.get(2) == two);
  CHECK(cache.get(1) != one);
  CHECK(*cache.get(1) == *one);
}
