#include "model/placement/replication.hpp"

#include <algorithm>
#include <numeric>
#include <string>

namespace troupe {

namespace {

tl::unexpected<error> refuse(const std::string& what, std::int64_t got, const std::string& limit) {
  return fail(error_code::usage, "[placement] " + what + ": got " + std::to_string(got) + ", limit " + limit);
}

double divided(double load, std::int64_t copies) {
  return load / static_cast<double>(copies);
}

expected<void> check(std::int64_t experts, const placement_shape& s) {
  if (experts < 1) return refuse("experts", experts, "1 or more");
  if (s.groups < 1 || experts % s.groups != 0)
    return refuse("groups", s.groups, "a divisor of the " + std::to_string(experts) + " experts");
  if (s.nodes < 1) return refuse("nodes", s.nodes, "1 or more");
  if (s.devices < 1 || s.devices % s.nodes != 0)
    return refuse("devices", s.devices, "a multiple of the " + std::to_string(s.nodes) + " nodes");
  if (s.slots < experts || s.slots % s.devices != 0)
    return refuse("slots", s.slots,
                  "a multiple of the " + std::to_string(s.devices) + " devices, at least "
                    + std::to_string(experts));
  return {};
}

} // namespace

expected<replication> replicate(std::span<const double> load, std::int64_t slots) {
  const auto experts = static_cast<std::int64_t>(load.size());
  if (experts < 1 || slots < experts)
    return refuse("slots", slots, "one for each of the " + std::to_string(experts) + " experts, or more");
  replication out;
  out.copies.assign(load.size(), 1);
  for (std::int64_t e = 0; e < experts; ++e) {
    out.expert_per_slot.push_back(e);
    out.rank.push_back(0);
  }
  for (auto left = slots - experts; left > 0; --left) {
    std::int64_t best = 0;
    for (std::int64_t e = 1; e < experts; ++e)
      if (divided(load[e], out.copies[e]) > divided(load[best], out.copies[best])) best = e;
    out.expert_per_slot.push_back(best);
    out.rank.push_back(out.copies[best]++);
  }
  return out;
}

expected<packing> pack(std::span<const double> weight, std::int64_t bins) {
  const auto items = static_cast<std::int64_t>(weight.size());
  if (bins < 1 || items < 1 || items % bins != 0)
    return refuse("bins", bins, "a divisor of the " + std::to_string(items) + " items");
  packing out;
  out.bin.assign(weight.size(), 0);
  out.rank.assign(weight.size(), 0);
  std::vector<std::int64_t> order(weight.size());
  std::iota(order.begin(), order.end(), 0);
  if (items == bins) {
    out.bin = order;
    return out;
  }
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return weight[a] > weight[b]; });
  std::vector<double> total(static_cast<std::size_t>(bins));
  std::vector<std::int64_t> filled(total.size());
  for (const auto i : order) {
    std::int64_t best = -1;
    for (std::int64_t b = 0; b < bins; ++b)
      if (filled[b] < items / bins && (best < 0 || total[b] < total[best])) best = b;
    out.bin[i] = best;
    out.rank[i] = filled[best]++;
    total[best] += weight[i];
  }
  return out;
}

expected<std::vector<std::int64_t>> place(std::span<const double> load, placement_shape s) {
  const auto experts = static_cast<std::int64_t>(load.size());
  if (s.groups < 1 || s.nodes < 1 || s.groups % s.nodes != 0) s.groups = s.nodes = 1;
  if (auto good = check(experts, s); !good) return tl::unexpected(good.error());
  const auto per_group = experts / s.groups;
  std::vector<double> group_load;
  for (std::int64_t g = 0; g < s.groups; ++g)
    group_load.push_back(
      std::accumulate(load.begin() + g * per_group, load.begin() + (g + 1) * per_group, 0.0));
  const auto groups = pack(group_load, s.nodes);
  if (!groups) return tl::unexpected(groups.error());
  std::vector<std::int64_t> by_node(load.size()); // experts, node after node
  for (std::int64_t e = 0; e < experts; ++e) {
    const auto g = e / per_group;
    by_node[(groups->bin[g] * (s.groups / s.nodes) + groups->rank[g]) * per_group + e % per_group] = e;
  }
  const auto experts_per_node = experts / s.nodes;
  const auto slots_per_node = s.slots / s.nodes;
  std::vector<std::int64_t> out;
  for (std::int64_t node = 0; node < s.nodes; ++node) {
    const std::span own(by_node.data() + node * experts_per_node, static_cast<std::size_t>(experts_per_node));
    std::vector<double> own_load;
    for (const auto e : own) own_load.push_back(load[e]);
    const auto copies = replicate(own_load, slots_per_node);
    if (!copies) return tl::unexpected(copies.error());
    std::vector<double> share;
    for (const auto e : copies->expert_per_slot) share.push_back(divided(own_load[e], copies->copies[e]));
    const auto packed = pack(share, s.devices / s.nodes);
    if (!packed) return tl::unexpected(packed.error());
    std::vector<std::int64_t> local(share.size());
    for (std::size_t i = 0; i < share.size(); ++i)
      local[packed->bin[i] * (s.slots / s.devices) + packed->rank[i]] = own[copies->expert_per_slot[i]];
    out.insert(out.end(), local.begin(), local.end());
  }
  return out;
}

double device_imbalance(std::span<const double> load, std::span<const std::int64_t> expert_per_slot,
                        std::int64_t devices) {
  std::vector<std::int64_t> copies(load.size());
  for (const auto e : expert_per_slot) ++copies[e];
  const auto size = static_cast<std::int64_t>(expert_per_slot.size()) / devices;
  double sum = 0;
  double most = 0;
  for (std::int64_t d = 0; d < devices; ++d) {
    double total = 0;
    for (std::int64_t i = d * size; i < (d + 1) * size; ++i)
      total += divided(load[expert_per_slot[i]], copies[expert_per_slot[i]]);
    sum += total;
    most = std::max(most, total);
  }
  return sum == 0 ? 1.0 : most * static_cast<double>(devices) / sum;
}

} // namespace troupe
