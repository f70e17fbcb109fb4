#include "messages/encoding.hpp"
#include "tests/messages/samples.hpp"

#include <catch2/catch_message.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <tuple>

using namespace troupe;
using namespace troupe::test;

namespace {

/// One message type, its type erased.
struct wire_type {
  frame (*first_sample)();
  std::optional<error> (*error_of)(const frame&);
};

template <class M>
constexpr wire_type type_of{[] { return encode(samples<M>().front()); },
                            [](const frame& f) -> std::optional<error> {
                              auto got = decode<M>(f, limits{});
                              if (got) return std::nullopt;
                              return got.error();
                            }};

const auto types = []<class... Ms>(std::tuple<Ms...>*) {
  return std::array{type_of<Ms>...};
}(static_cast<wire_messages*>(nullptr));

} // namespace

TEMPLATE_LIST_TEST_CASE("Every message survives the way over the wire", "[unit]", wire_messages) {
  for (auto& sent : samples<TestType>()) {
    auto got = decode<TestType>(encode(sent), limits{});
    REQUIRE(got.has_value());
    CHECK(same(sent, *got));
  }
}

TEST_CASE("A message is never taken for one of another type", "[unit]") {
  for (std::size_t sent = 0; sent < types.size(); ++sent) {
    const auto f = types[sent].first_sample();
    for (std::size_t asked = 0; asked < types.size(); ++asked) {
      INFO("sent type " << sent << ", asked for type " << asked);
      const auto error = types[asked].error_of(f);
      CHECK(error.has_value() == (asked != sent));
      if (error) CHECK(error->code == error_code::malformed);
    }
  }
}

TEST_CASE("A norm that is no number reaches the optimizer", "[unit]") {
  auto got = decode<norm_report>(encode(norm_report{{}, 0, {{{}, std::nan("")}}}), limits{});
  REQUIRE(got);
  CHECK(std::isnan(got->norms.front().squared));
}

TEST_CASE("Tensors are never copied on their way through a frame", "[unit]") {
  auto sent = samples<dispatch>().front();
  const auto f = encode(sent);
  REQUIRE(f.payloads.size() == 2);
  CHECK(f.payloads[0].data() == sent.rows.data().data());
  CHECK(f.payloads[1].data() == sent.indices.data().data());
  const auto got = decode<dispatch>(f, limits{}).value();
  CHECK(got.rows.data().data() == sent.rows.data().data());
}

TEST_CASE("Decoded tensors are 64-byte aligned even if the payload was not", "[unit]") {
  auto sent = samples<gradient>().front();
  auto f = encode(sent);
  auto shifted = blob::allocate(f.payloads[0].size() + 8);
  std::ranges::copy(f.payloads[0].bytes(), shifted.mutable_data() + 8);
  f.payloads[0] = shifted.part(8, f.payloads[0].size());
  const auto got = decode<gradient>(f, limits{});
  REQUIRE(got);
  CHECK(reinterpret_cast<std::uintptr_t>(got->rows.data().data()) % blob::alignment == 0);
  CHECK(same(sent, *got));
}

TEST_CASE("A header at any address is read", "[unit]") {
  auto sent = samples<plan>().front();
  auto f = encode(sent);
  auto shifted = blob::allocate(f.header.size() + 1);
  std::ranges::copy(f.header.bytes(), shifted.mutable_data() + 1);
  f.header = shifted.part(1, f.header.size());
  CHECK(decode<plan>(f, limits{}).value() == sent);
}

TEST_CASE("Headers beyond the first segment are whole", "[unit]") {
  plan sent;
  sent.placement.resize(4096 * 16);
  for (std::size_t i = 0; i < sent.placement.size(); ++i) sent.placement[i] = static_cast<node_id>(i * 31);
  for (std::uint32_t i = 0; i < 5000; ++i) sent.microbatches.push_back({i / 10, 3, i});
  sent.rows = 4999u * 5000u / 2;
  CHECK(decode<plan>(encode(sent), limits{}).value() == sent);
  CHECK(decode<plan>(encode(plan{}), limits{}).value() == plan{});
}

// The bytes were written by Cap'n Proto's own tool:
//   capnp encode messages/messages.capnp Message <<<
//     '(commit = (term = (incarnation = 5, counter = 2), step = 9, scale = 0.5))'
TEST_CASE("A header written by another Cap'n Proto program is read", "[unit]") {
  const std::array<std::uint64_t, 9> words{
    0x800000000, 0x1000100000000, 0x2, 0x1000200000000, 0x9, 0x3fe0000000000000, 0x200000000, 0x5, 0x2};
  frame f{blob::copy_of(std::as_bytes(std::span(words))), {}};
  const auto got = decode<commit>(f, limits{});
  REQUIRE(got);
  CHECK(*got == commit{{5, 2}, 9, 0.5});
}

TEST_CASE("Encoding a message never shows in the next", "[unit]") {
  const auto before = encode(commit{{1, 1}, 1, 1});
  encode(samples<replica_report>().front());
  const auto after = encode(commit{{1, 1}, 1, 1});
  CHECK(std::ranges::equal(before.header.bytes(), after.header.bytes()));
}
