// Times what a router does between its gate and its experts, on one thread: sorting (token, slot) pairs into
// a dispatch plan, packing rows into bundles, and combining the experts' rows. Each is compared with a memory
// copy of the bytes that it moves.
//
// `troupe-dispatch-bench --help` says what it takes.

#include "actors/router/dispatch_plan.hpp"
#include "model/random.hpp"
#include "model/trunks/slot_sums.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

using namespace troupe;

namespace {

constexpr std::int64_t slots = 2;
constexpr node_id nodes = 4; // 1 … 4; the router is at node 0, so that every row travels

double seconds_of(auto&& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> times) {
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

/// One layer's tokens with two distinct experts each, at random, and experts that return rows of the same
/// width.
struct layer {
  layer(std::int64_t tokens, std::uint32_t experts, std::int64_t width)
    : rows(tensor::zeros(dtype::f32, {tokens, width})), chosen(tensor::allocate(dtype::i32, {tokens, slots})),
      gates(static_cast<std::size_t>(tokens * slots), 0.5f), placement(experts) {
    const philox_stream random(1, "dispatch bench");
    auto to = chosen.mutable_as<std::int32_t>();
    for (std::int64_t t = 0; t < tokens; ++t) {
      const auto draw = static_cast<std::uint64_t>(2 * t);
      const auto first = random.below(draw, experts);
      to[static_cast<std::size_t>(2 * t)] = static_cast<std::int32_t>(first);
      to[static_cast<std::size_t>(2 * t + 1)] = static_cast<std::int32_t>(
        (first + 1 + random.below(draw + 1, experts - 1)) % experts);
    }
    for (std::uint32_t e = 0; e < experts; ++e) placement[e] = static_cast<node_id>(1 + e * nodes / experts);
  }

  tensor rows, chosen;
  std::vector<float> gates;
  std::vector<node_id> placement;
};

struct result {
  double sort = 0, pack = 0, combine = 0; ///< seconds
  double pack_bytes = 0, combine_bytes = 0;
  double pack_copy = 0, combine_copy = 0; ///< seconds of copying as many bytes
};

/// Copies `bytes` from one warm buffer into another.
double copy_seconds(std::vector<char>& from, std::vector<char>& to, std::size_t bytes) {
  return seconds_of([&] { std::memcpy(to.data(), from.data(), bytes); });
}

result measure(const layer& in) {
  const auto tokens = in.rows.rows(), width = in.rows.row_elements();
  const auto experts = in.placement.size();
  std::vector<float> y(static_cast<std::size_t>(tokens * width));
  result out;
  out.combine_bytes = static_cast<double>(tokens * slots * width) * sizeof(float);
  std::vector<char> from(static_cast<std::size_t>(out.combine_bytes), 1), to(from.size(), 2);
  std::vector<double> times[5];
  const auto repeats = std::clamp<std::int64_t>((std::int64_t{1} << 21) / tokens, 7, 1001);
  slot_rows answer;
  for (std::int64_t i = 0; i < repeats; ++i) {
    dispatch_plan plan;
    std::vector<tensor> packed;
    times[0].push_back(seconds_of([&] { plan = plan_dispatch(in.chosen, 0, in.placement, 0); }));
    times[1].push_back(seconds_of([&] {
      for (auto& bundle : plan.bundles) packed.push_back(pack_rows(in.rows, bundle));
    }));
    out.pack_bytes = 0;
    for (std::size_t b = 0; b < packed.size(); ++b)
      if (!plan.bundles[b].every_row) out.pack_bytes += static_cast<double>(packed[b].bytes());
    if (i == 0) {
      answer.parts.resize(experts);
      for (auto& bundle : plan.bundles)
        for (auto& e : bundle.experts)
          answer.parts[e.owner.expert] = tensor::zeros(dtype::f32, {e.end - e.begin, width});
    }
    answer.positions = plan.positions;
    times[2].push_back(seconds_of([&] {
      const auto rows = rows_of_slots<float>(in.chosen, answer, width);
      combine_slots<float>(rows, in.gates, slots, width, y);
    }));
    packed.clear();
    times[3].push_back(copy_seconds(from, to, static_cast<std::size_t>(out.pack_bytes)));
    times[4].push_back(copy_seconds(from, to, static_cast<std::size_t>(out.combine_bytes)));
  }
  out.sort = median(times[0]), out.pack = median(times[1]), out.combine = median(times[2]);
  out.pack_copy = median(times[3]), out.combine_copy = median(times[4]);
  return out;
}

constexpr const char* usage = "Usage: troupe-dispatch-bench [TOKENS,...] [EXPERTS,...] [WIDTH]\n\n"
                              "Prints a line of JSON for each number of tokens and experts.\n"
                              "Defaults: 128,1024,4096,16384,65536 4,16,64,256 512\n";

std::vector<std::int64_t> numbers(const char* text) {
  std::vector<std::int64_t> out;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) out.push_back(std::atoll(word.c_str()));
  return out;
}

} // namespace

int main(int count, char** arguments) {
  if (count > 1 && std::string(arguments[1]) == "--help") {
    std::fputs(usage, stdout);
    return 0;
  }
  const auto token_counts = numbers(count > 1 ? arguments[1] : "128,1024,4096,16384,65536");
  const auto expert_counts = numbers(count > 2 ? arguments[2] : "4,16,64,256");
  const auto width = count > 3 ? std::atoll(arguments[3]) : 512;
  for (const auto experts : expert_counts)
    for (const auto tokens : token_counts) {
      if (tokens < 1 || experts < nodes || width < 1 || experts > 65535) {
        std::fprintf(
          stderr,
          "troupe-dispatch-bench: got %lld tokens, %lld experts, width %lld, limit 1, 4 to 65535, 1\n",
          static_cast<long long>(tokens), static_cast<long long>(experts), static_cast<long long>(width));
        return 2;
      }
      const auto r = measure(layer(tokens, static_cast<std::uint32_t>(experts), width));
      const auto per_token = 1e9 / static_cast<double>(tokens);
      std::printf(
        "{\"tokens\": %lld, \"experts\": %lld, \"width\": %lld, \"sort_ns\": %.1f, \"pack_ns\": %.1f, "
        "\"combine_ns\": %.1f, \"pack_gb_s\": %.2f, \"combine_gb_s\": %.2f, \"copy_gb_s\": %.2f, "
        "\"over_copy\": %.2f}\n",
        static_cast<long long>(tokens), static_cast<long long>(experts), static_cast<long long>(width),
        r.sort * per_token, r.pack * per_token, r.combine * per_token,
        r.pack_bytes / std::max(r.pack, 1e-12) / 1e9, r.combine_bytes / r.combine / 1e9,
        r.combine_bytes / r.combine_copy / 1e9,
        (r.sort + r.pack + r.combine) / (r.pack_copy + r.combine_copy));
      std::fflush(stdout);
    }
}
