#include "messages/framing.hpp"
#include "tests/messages/samples.hpp"

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <cstring>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;

namespace {

blob bytes(std::initializer_list<unsigned> values) {
  std::vector<std::byte> result;
  for (auto v : values) result.push_back(static_cast<std::byte>(v));
  return blob::copy_of(result);
}

template <class T>
blob overwritten(const blob& from, std::size_t at, T value) {
  auto result = blob::copy_of(from.bytes());
  std::memcpy(result.mutable_data() + at, &value, sizeof(value));
  return result;
}

void refuses(const blob& flat, error_code code, const std::string& text, const limits& bounds = {}) {
  const auto got = unflatten(flat, bounds);
  REQUIRE_FALSE(got);
  CHECK(got.error().code == code);
  CHECK_THAT(got.error().text, ContainsSubstring(text));
}

constexpr auto malformed = error_code::malformed;
constexpr auto over_limit = error_code::over_limit;

} // namespace

TEMPLATE_LIST_TEST_CASE("Every message survives the flat form", "[unit]", wire_messages) {
  for (auto& sent : samples<TestType>()) {
    const auto flat = flatten(encode(sent));
    CHECK(flat.size() % 64 == 0);
    const auto f = unflatten(flat, limits{});
    REQUIRE(f);
    CHECK(same(decode<TestType>(*f, limits{}).value(), sent));
  }
}

TEST_CASE("The flat form is the documented one", "[unit]") {
  const frame f{bytes({1, 2, 3, 4, 5, 6, 7, 8}), {bytes({9, 10, 11}), blob{}}};
  const auto flat = flatten(f);
  REQUIRE(flat.size() == 3 * 64);
  std::vector<unsigned> expected(3 * 64);
  const std::array start{0x54u, 0x52u, 0x46u, 0x31u, 8u, 0u, 0u, 0u, 2u,
                         0u,    0u,    0u,    0u,    0u, 0u, 0u, 3u}; // "TRF1", 8, 2, 0, 3
  std::ranges::copy(start, expected.begin());
  for (unsigned i = 0; i < 8; ++i) expected[64 + i] = i + 1;
  for (unsigned i = 0; i < 3; ++i) expected[128 + i] = i + 9;
  CHECK(
    std::ranges::equal(flat.bytes(), expected, {}, [](std::byte b) { return std::to_integer<unsigned>(b); }));
}

TEST_CASE("Unflattened payloads share the flat memory and are aligned", "[unit]") {
  const auto flat = flatten(encode(samples<dispatch>().front()));
  const auto f = unflatten(flat, limits{}).value();
  for (auto& p : f.payloads) {
    CHECK(p.data() >= flat.data());
    CHECK(p.data() + p.size() <= flat.data() + flat.size());
    CHECK(reinterpret_cast<std::uintptr_t>(p.data()) % blob::alignment == 0);
  }
  const auto got = decode<dispatch>(f, limits{}).value();
  CHECK(got.rows.data().data() == f.payloads[0].data());
}

TEST_CASE("A flat form that lies is refused", "[unit]") {
  const auto flat = flatten(encode(samples<dispatch>().front())); // two payloads: 48 and 20 bytes
  for (std::size_t size = 0; size < flat.size(); ++size) refuses(flat.part(0, size), malformed, "got");
  refuses(overwritten<std::uint32_t>(flat, 0, 1), malformed, "magic");
  refuses(overwritten<std::uint32_t>(flat, 12, 1), malformed, "reserved number");
  refuses(overwritten<std::uint32_t>(flat, 4, 0xffffffff), over_limit, "header_bytes_max");
  refuses(overwritten<std::uint32_t>(flat, 4, 1 << 22), malformed, "header bytes");
  refuses(overwritten<std::uint32_t>(flat, 8, 0xffffffff), over_limit, "payloads_max");
  refuses(overwritten<std::uint32_t>(flat, 8, 4096), malformed, "table");
  refuses(overwritten<std::uint32_t>(flat, 8, 1), malformed, "bytes");
  for (const std::uint64_t size :
       {~std::uint64_t{0}, ~std::uint64_t{0} - 62, std::uint64_t{1} << 63, std::uint64_t{129}})
    refuses(overwritten(flat, 16, size), malformed, "payload bytes: got " + std::to_string(size));
  limits few;
  few.message_bytes_max = 100;
  refuses(flat, over_limit, "message_bytes_max", few);
}
