#include "actors/router/dispatch_plan.hpp"

#include "model/run_failure.hpp"
#include "simulation/mixing.hpp"
#include "tests/actors/support.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <set>

using namespace troupe;
using simulation::dice;

namespace {

struct example {
  tensor experts; ///< [T, k]
  std::vector<node_id> placement;
};

/// T tokens with k distinct experts or -1 each, over E experts on a few nodes.
example draw_example(std::uint64_t seed) {
  dice draw(seed);
  const auto count = draw.between(1, 9);
  const auto slots = draw.between(1, std::min<std::uint64_t>(count, 4));
  const auto tokens = draw.below(12);
  example result;
  for (std::uint64_t e = 0; e < count; ++e) result.placement.push_back(static_cast<node_id>(draw.below(4)));
  result.experts = tensor::allocate(dtype::i32,
                                    {static_cast<std::int64_t>(tokens), static_cast<std::int64_t>(slots)});
  auto to = result.experts.mutable_as<std::int32_t>();
  for (std::uint64_t t = 0; t < tokens; ++t) {
    std::set<std::int32_t> used;
    for (std::uint64_t s = 0; s < slots; ++s) {
      auto e = static_cast<std::int32_t>(draw.below(count));
      if (!used.insert(e).second || draw.chance(0.2)) e = -1;
      to[t * slots + s] = e;
    }
  }
  return result;
}

/// The (token, slot) pairs of one expert, tokens ascending: found by looking at every pair.
std::vector<std::int32_t> pairs_of(const example& x, std::int32_t expert) {
  std::vector<std::int32_t> result;
  const auto chosen = x.experts.as<std::int32_t>();
  for (std::size_t i = 0; i < chosen.size(); ++i)
    if (chosen[i] == expert) result.push_back(static_cast<std::int32_t>(i));
  return result;
}

} // namespace

TEST_CASE("a dispatch plan sends each pair to its expert, in token order, as a search over all pairs would",
          "[unit]") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const auto x = draw_example(seed);
    const auto slots = x.experts.dims()[1];
    const node_id local = seed % 3 == 0 ? 0 : 99;
    const auto layout = plan_dispatch(x.experts, 5, x.placement, local);
    std::set<std::int32_t> named;
    node_id last = 0;
    for (auto& bundle : layout.bundles) {
      CAPTURE(seed, bundle.node);
      CHECK((named.empty() || bundle.node > last));
      last = bundle.node;
      const auto index = bundle.indices.as<std::int32_t>();
      REQUIRE(index.size() == bundle.pairs.size());
      if (bundle.node == local) CHECK(bundle.every_row);
      std::uint32_t begin = 0;
      for (auto& span : bundle.experts) {
        const auto e = span.owner.expert;
        CHECK(span.owner.layer == 5);
        CHECK(x.placement[e] == bundle.node);
        CHECK(named.insert(e).second);
        CHECK(span.begin == begin);
        begin = span.end;
        const auto expected = pairs_of(x, e);
        REQUIRE(
          std::ranges::equal(std::span(bundle.pairs).subspan(span.begin, span.end - span.begin), expected));
        for (std::uint32_t i = 0; i < expected.size(); ++i) {
          const auto token = static_cast<std::int32_t>(expected[i] / slots);
          const auto row = index[span.begin + i];
          CHECK((bundle.every_row ? row : bundle.tokens[static_cast<std::size_t>(row)]) == token);
          CHECK(layout.positions.as<std::int32_t>()[static_cast<std::size_t>(expected[i])]
                == static_cast<std::int32_t>(i));
        }
      }
      CHECK(begin == index.size());
      CHECK(std::ranges::is_sorted(bundle.tokens));
      CHECK(std::ranges::adjacent_find(bundle.tokens) == bundle.tokens.end());
    }
    CHECK(named.size() == x.placement.size()); // experts without rows are named too
    const auto chosen = x.experts.as<std::int32_t>();
    for (std::size_t i = 0; i < chosen.size(); ++i)
      if (chosen[i] < 0) CHECK(layout.positions.as<std::int32_t>()[i] == -1);
  }
}

TEST_CASE("packing takes the rows and gates that a bundle names", "[unit]") {
  const auto experts = tensor::of<std::int32_t>({4, 2}, std::vector<std::int32_t>{0, 1, 2, 0, 1, 2, 0, -1});
  const std::vector<node_id> placement{1, 2, 2};
  const auto layout = plan_dispatch(experts, 0, placement, 99);
  REQUIRE(layout.bundles.size() == 2);
  const auto& first = layout.bundles[0]; // expert 0: tokens 0, 1, 3
  CHECK(first.tokens == std::vector<std::int32_t>{0, 1, 3});
  const auto rows = tensor::of<float>({4, 2}, std::vector<float>{0, 1, 10, 11, 20, 21, 30, 31});
  const auto packed = pack_rows(rows, first);
  CHECK(std::ranges::equal(packed.as<float>(), std::vector<float>{0, 1, 10, 11, 30, 31}));
  const auto gates = tensor::of<double>({4, 2}, std::vector<double>{.0, .1, .2, .3, .4, .5, .6, .7});
  CHECK(std::ranges::equal(pack_gates(gates, first).as<double>(), std::vector<double>{.0, .3, .6}));
  const auto& second = layout.bundles[1]; // expert 1: tokens 0, 2; expert 2: tokens 1, 2
  CHECK(std::ranges::equal(pack_gates(gates, second).as<double>(), std::vector<double>{.1, .4, .2, .5}));
}

TEST_CASE("a bundle in the same process shares the rows' memory", "[unit]") {
  const auto experts = tensor::of<std::int32_t>({3, 1}, std::vector<std::int32_t>{0, 1, 1});
  const std::vector<node_id> placement{0, 1};
  const auto layout = plan_dispatch(experts, 0, placement, 0);
  const auto rows = tensor::of<float>({3, 1}, std::vector<float>{1, 2, 3});
  CHECK(pack_rows(rows, layout.bundles[0]).data().data() == rows.data().data());
  CHECK(pack_rows(rows, layout.bundles[1]).data().data() != rows.data().data());
}

TEST_CASE("an expert that does not exist is named, not looked up", "[unit]") {
  const auto experts = tensor::of<std::int32_t>({2, 1}, std::vector<std::int32_t>{0, 3});
  const std::vector<node_id> placement{1, 1, 2};
  try {
    plan_dispatch(experts, 0, placement, 99);
    FAIL("it was taken");
  } catch (const run_failure& failure) {
    CHECK(failure.reason().text == "[router] expert in the router's result: got 3, limit 3 experts");
  }
}
