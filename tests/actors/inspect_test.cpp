#include "actors/shell/post_office.hpp"
#include "tests/actors/caf_types.hpp"
#include "tests/messages/samples.hpp"

#include <caf/actor_registry.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>
#include <caf/deep_to_string.hpp>
#include <caf/detail/serialized_size.hpp>
#include <caf/init_global_meta_objects.hpp>
#include <caf/message.hpp>
#include <caf/scoped_actor.hpp>

#include <catch2/catch_message.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <cstring>
#include <random>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

template <class T>
caf::byte_buffer saved(const T& x) {
  register_types();
  caf::byte_buffer result;
  caf::binary_serializer sink(nullptr, result);
  REQUIRE(sink.apply(x));
  return result;
}

template <class T>
caf::error load_error(const caf::byte_buffer& bytes) {
  register_types();
  T x;
  caf::binary_deserializer source(nullptr, bytes);
  if (source.apply(x)) return {};
  return source.get_error();
}

template <class T>
void put(caf::byte_buffer& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

} // namespace

TEMPLATE_LIST_TEST_CASE("Every message passes CAF's binary serializer", "[unit]", wire_messages) {
  for (auto& sent : samples<TestType>()) {
    const auto bytes = saved(sent);
    const auto f = encode(sent);
    CHECK(bytes.size() == bytes_of(f) + 4 + 4 + 8 * f.payloads.size());
    CHECK(caf::detail::serialized_size(sent) == bytes.size());
    TestType got;
    caf::binary_deserializer source(nullptr, bytes);
    REQUIRE(source.apply(got));
    CHECK(source.remaining() == 0);
    CHECK(same(sent, got));
  }
}

TEMPLATE_LIST_TEST_CASE("Every message travels inside a CAF message", "[unit]", wire_messages) {
  register_types();
  const auto sent = samples<TestType>().front();
  const auto bytes = saved(caf::make_message(sent, 42));
  caf::message got;
  caf::binary_deserializer source(nullptr, bytes);
  REQUIRE(source.apply(got));
  REQUIRE(got.match_elements<TestType, int>());
  CHECK(same(got.get_as<TestType>(0), sent));
  CHECK(got.get_as<int>(1) == 42);
}

TEST_CASE("Loaded payloads are 64-byte aligned", "[unit]") {
  const auto bytes = saved(samples<dispatch>().front());
  dispatch got;
  caf::binary_deserializer source(nullptr, bytes);
  REQUIRE(source.apply(got));
  CHECK(reinterpret_cast<std::uintptr_t>(got.rows.data().data()) % blob::alignment == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(got.indices.data().data()) % blob::alignment == 0);
}

TEST_CASE("People see a message's name and sizes, never its bytes", "[unit]") {
  auto m = samples<owner_state>().front();
  m.state = tensor::zeros(dtype::u8, {100'000});
  const auto text = caf::deep_to_string(m);
  CHECK(text.size() < 100);
  CHECK_THAT(text, ContainsSubstring("troupe::owner_state"));
  CHECK_THAT(text, ContainsSubstring(std::to_string(bytes_of(encode(m)))));
}

TEST_CASE("Messages between actors of one process cannot leave it", "[unit]") {
  register_types();
  const auto m = caf::make_message(expert_forward{});
  caf::byte_buffer bytes;
  caf::binary_serializer sink(nullptr, bytes);
  CHECK_FALSE(sink.apply(m));
  CHECK(sink.get_error() == caf::sec::unsafe_type);
}

TEST_CASE("Sizes that lie are refused before anything is allocated", "[unit]") {
  const auto good = saved(samples<owner_state>().front()); // u32 header bytes, header, u32 1, u64 100, 100
                                                           // bytes
  const auto payloads_at = good.size() - 100 - 8 - 4;
  auto with = [&](std::size_t at, auto value) {
    auto bytes = good;
    put(bytes, at, value);
    return to_string(load_error<owner_state>(bytes));
  };
  // CAF writes numbers in network byte order.
  auto big32 = [](std::uint32_t x) { return __builtin_bswap32(x); };
  auto big64 = [](std::uint64_t x) { return __builtin_bswap64(x); };
  CHECK(load_error<owner_state>(good) == caf::error{});
  CHECK_THAT(with(0, big32(0xffffffff)), ContainsSubstring("header bytes: got 4294967295"));
  CHECK_THAT(with(0, big32(4u << 20)), ContainsSubstring("bytes: got 4194304"));
  CHECK_THAT(with(0, big32(8)), ContainsSubstring("got"));
  CHECK_THAT(with(payloads_at, big32(0xffffffff)), ContainsSubstring("payloads: got 4294967295"));
  CHECK_THAT(with(payloads_at, big32(0)), ContainsSubstring("state payload"));
  CHECK_THAT(with(payloads_at + 4, big64(~std::uint64_t{0})),
             ContainsSubstring("message bytes: got 18446744073709551615"));
  CHECK_THAT(with(payloads_at + 4, big64(std::uint64_t{1} << 29)),
             ContainsSubstring("bytes: got 536870912, limit 100"));
  CHECK_THAT(with(payloads_at + 4, big64(99)), ContainsSubstring("state: got 99 bytes"));
}

TEST_CASE("Whoever listens hears why a message was refused", "[unit]") {
  register_types();
  caf::actor_system_config config;
  config.set("caf.scheduler.max-threads", 1);
  caf::actor_system system(config);
  caf::scoped_actor listener(system);
  system.registry().put(refusal_listener, caf::actor_cast<caf::strong_actor_ptr>(listener));
  auto wrong = samples<dispatch>().front();
  wrong.experts.front().begin = 1;
  const auto bytes = saved(wrong);
  caf::binary_deserializer source(system, bytes);
  dispatch got;
  CHECK_FALSE(source.apply(got));
  std::string heard;
  listener->receive([&](const std::string& text) { heard = text; },
                    caf::after(std::chrono::seconds(10)) >> [] { FAIL("nothing heard"); });
  CHECK_THAT(heard, ContainsSubstring("[decode dispatch] span of expert 1: got [1, 2)"));
  system.registry().erase(refusal_listener);
}

TEST_CASE("A message over the limits is refused where it is sent", "[unit]") {
  register_types();
  caf::byte_buffer bytes;
  caf::binary_serializer sink(nullptr, bytes);
  CHECK_FALSE(sink.apply(release{{}, std::string(limits{}.header_bytes_max, 'x')}));
  CHECK_THAT(to_string(sink.get_error()), ContainsSubstring("header_bytes_max"));
  CHECK(bytes.empty());
}

TEST_CASE("A message over the limits ends the run by name, and the stream to its receiver stays in order",
          "[unit]") {
  register_types();
  caf::actor_system_config config;
  config.set("caf.scheduler.max-threads", 1);
  caf::actor_system system(config);
  caf::scoped_actor coordinator(system);
  post_office office;
  office.enter_coordinator(caf::actor_cast<coordinator_actor>(caf::actor_cast<caf::actor>(coordinator)));
  static const std::byte first{};
  const std::size_t size = std::size_t{1} << 30; // and a header
  const tensor large(dtype::u8, {static_cast<std::int64_t>(size)}, blob::borrow(nullptr, &first, size));
  const term_id term{7, 1};
  caf::byte_buffer bytes;
  caf::binary_serializer sink(system, bytes);
  REQUIRE(sink.apply(owner_state{term, {0, 3, 0}, 5, 1, 2, large}));
  REQUIRE(sink.apply(release{term, "bye"}));
  refusal heard;
  coordinator->receive([&](const refusal& m) { heard = m; },
                       caf::after(std::chrono::seconds(10)) >> [] { FAIL("nothing heard"); });
  CHECK(heard.id.term == term);
  CHECK_THAT(heard.reason, StartsWith("[send troupe::owner_state] message bytes: got 10737"));
  CHECK_THAT(heard.reason, ContainsSubstring("limit 1073741824 (message_bytes_max); choose smaller experts"));
  caf::binary_deserializer source(system, bytes);
  owner_state nothing;
  CHECK_FALSE(source.apply(nothing));
  release next;
  CHECK(source.apply(next));
  CHECK(next.reason == "bye");
  office.close();
  CHECK_FALSE(sink.apply(owner_state{term, {0, 3, 0}, 5, 1, 2, large}));
}

TEMPLATE_LIST_TEST_CASE("Mutated bytes are refused or give a valid message", "[unit]", wire_messages) {
  const auto good = saved(samples<TestType>().front());
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    auto bytes = good;
    for (auto n = 1 + random() % 4; n != 0; --n)
      put(bytes, random() % bytes.size(), static_cast<std::uint8_t>(random()));
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    TestType got;
    caf::binary_deserializer source(nullptr, bytes);
    if (source.apply(got))
      REQUIRE(decode<TestType>(encode(got), limits{}).has_value());
    else
      REQUIRE(source.get_error());
  }
}
