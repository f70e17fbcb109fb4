#include "actors/router/dispatch_plan.hpp"

#include "model/run_failure.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

namespace troupe {

namespace {

/// From this share of needed rows on, sending all of them beats gathering.
constexpr double every_row_share = 0.9;

/// Pairs grouped by expert, tokens ascending: pairs[offsets[e], offsets[e+1]).
struct sorted_pairs {
  std::vector<std::uint32_t> offsets;
  std::vector<std::int32_t> pairs;
};

sorted_pairs sort_by_expert(const tensor& experts, std::size_t count, std::span<std::int32_t> positions) {
  const auto chosen = experts.as<std::int32_t>();
  sorted_pairs result{std::vector<std::uint32_t>(count + 1), {}};
  for (auto e : chosen) {
    if (e >= static_cast<std::int64_t>(count))
      throw run_failure({error_code::malformed, "[router] expert in the router's result: got "
                                                  + std::to_string(e) + ", limit " + std::to_string(count)
                                                  + " experts"});
    if (e >= 0) ++result.offsets[static_cast<std::size_t>(e) + 1];
  }
  for (std::size_t e = 0; e < count; ++e) result.offsets[e + 1] += result.offsets[e];
  result.pairs.resize(result.offsets[count]);
  std::vector<std::uint32_t> next(result.offsets.begin(), result.offsets.end() - 1);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i] < 0) {
      positions[i] = -1;
      continue;
    }
    const auto e = static_cast<std::size_t>(chosen[i]);
    positions[i] = static_cast<std::int32_t>(next[e] - result.offsets[e]);
    result.pairs[next[e]++] = static_cast<std::int32_t>(i);
  }
  return result;
}

/// Fills `tokens` with the rows that the bundle needs and rewrites `indices` to point into them.
void gather_tokens(node_bundle& bundle, std::int64_t tokens, std::span<std::int32_t> indices) {
  std::vector<std::int32_t> row_of(static_cast<std::size_t>(tokens), -1);
  for (auto t : indices) row_of[static_cast<std::size_t>(t)] = 0;
  const auto needed = std::ranges::count(row_of, 0);
  if (static_cast<double>(needed) >= every_row_share * static_cast<double>(tokens)) {
    bundle.every_row = true;
    return;
  }
  for (std::size_t t = 0; t < row_of.size(); ++t)
    if (row_of[t] == 0) {
      row_of[t] = static_cast<std::int32_t>(bundle.tokens.size());
      bundle.tokens.push_back(static_cast<std::int32_t>(t));
    }
  for (auto& t : indices) t = row_of[static_cast<std::size_t>(t)];
}

} // namespace

dispatch_plan plan_dispatch(const tensor& experts, std::uint16_t layer, std::span<const node_id> placement,
                            node_id local) {
  dispatch_plan result{
    experts.dims()[0], experts.dims()[1], {}, tensor::allocate(dtype::i32, experts.dims())};
  const auto sorted = sort_by_expert(experts, placement.size(), result.positions.mutable_as<std::int32_t>());
  std::map<node_id, node_bundle> bundles;
  for (std::size_t e = 0; e < placement.size(); ++e) {
    auto& bundle = bundles[placement[e]];
    const auto begin = static_cast<std::uint32_t>(bundle.pairs.size());
    bundle.pairs.insert(bundle.pairs.end(), sorted.pairs.begin() + sorted.offsets[e],
                        sorted.pairs.begin() + sorted.offsets[e + 1]);
    bundle.experts.push_back(
      {{layer, static_cast<std::uint16_t>(e), 0}, begin, static_cast<std::uint32_t>(bundle.pairs.size())});
  }
  for (auto& [node, bundle] : bundles) {
    bundle.node = node;
    bundle.indices = tensor::allocate(dtype::i32, {static_cast<std::int64_t>(bundle.pairs.size())});
    auto indices = bundle.indices.mutable_as<std::int32_t>();
    const auto slots = static_cast<std::int32_t>(result.slots);
    std::ranges::transform(bundle.pairs, indices.begin(), [slots](auto pair) { return pair / slots; });
    if (node == local)
      bundle.every_row = true;
    else
      gather_tokens(bundle, result.tokens, indices);
    result.bundles.push_back(std::move(bundle));
  }
  return result;
}

tensor pack_rows(const tensor& rows, const node_bundle& bundle) {
  if (bundle.every_row) return rows;
  auto result = tensor::allocate(rows.type(),
                                 {static_cast<std::int64_t>(bundle.tokens.size()), rows.row_elements()});
  const auto stride = static_cast<std::size_t>(rows.row_elements()) * size_of(rows.type());
  auto* to = const_cast<std::byte*>(result.data().data());
  for (auto t : bundle.tokens) {
    std::memcpy(to, rows.data().data() + static_cast<std::size_t>(t) * stride, stride);
    to += stride;
  }
  return result;
}

namespace {

template <class Real>
tensor pick(const tensor& values, const std::vector<std::int32_t>& pairs) {
  auto result = tensor::allocate(values.type(), {static_cast<std::int64_t>(pairs.size())});
  const auto from = values.as<Real>();
  std::ranges::transform(pairs, result.mutable_as<Real>().begin(),
                         [&](auto pair) { return from[static_cast<std::size_t>(pair)]; });
  return result;
}

} // namespace

tensor pack_gates(const tensor& gates, const node_bundle& bundle) {
  return gates.type() == dtype::f64 ? pick<double>(gates, bundle.pairs) : pick<float>(gates, bundle.pairs);
}

} // namespace troupe
