#include "messages/framing.hpp"
#include "tests/messages/samples.hpp"

#include <catch2/catch_message.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstring>
#include <random>

using namespace troupe;
using namespace troupe::test;

namespace {

using generator = std::mt19937_64;

/// A number that breaks things more often than a random one does.
std::uint64_t nasty(generator& random) {
  constexpr std::uint64_t values[] = {0,
                                      1,
                                      2,
                                      7,
                                      8,
                                      63,
                                      64,
                                      0x7f,
                                      0xff,
                                      0x7fff,
                                      0xffff,
                                      0x7fffffff,
                                      0xffffffff,
                                      0x7fffffffffffffff,
                                      0xffffffffffffffff,
                                      0x7ff8000000000000};
  return random() % 2 == 0 ? values[random() % std::size(values)] : random();
}

/// One change: a bit, a byte, a word, a swap of two words, a shorter or longer end.
void mutate(std::vector<std::byte>& bytes, generator& random) {
  if (bytes.empty()) return;
  const auto at = random() % bytes.size();
  const auto word = at / 8 * 8;
  switch (random() % 6) {
    case 0: bytes[at] ^= static_cast<std::byte>(1u << (random() % 8)); break;
    case 1: bytes[at] = static_cast<std::byte>(random()); break;
    case 2: {
      const auto value = nasty(random);
      const auto size = std::min<std::size_t>(std::size_t{1} << (random() % 4), bytes.size() - at);
      std::memcpy(bytes.data() + at, &value, size);
      break;
    }
    case 3:
      if (bytes.size() >= word + 8) {
        const auto other = random() % (bytes.size() / 8) * 8;
        std::swap_ranges(bytes.begin() + static_cast<std::ptrdiff_t>(word),
                         bytes.begin() + static_cast<std::ptrdiff_t>(word + 8),
                         bytes.begin() + static_cast<std::ptrdiff_t>(other));
      }
      break;
    case 4: bytes.resize(word); break;
    default: bytes.resize(bytes.size() + 8 * (1 + random() % 3)); break;
  }
}

blob mutated(const blob& from, generator& random) {
  std::vector<std::byte> bytes(from.bytes().begin(), from.bytes().end());
  for (auto n = 1 + random() % 4; n != 0; --n) mutate(bytes, random);
  return blob::copy_of(bytes);
}

/// What decoding accepted must be sound: it survives the way once more, byte by byte.
template <class M>
bool sound(const M& m) {
  const auto again = decode<M>(encode(m), limits{});
  return again.has_value() && bytes_of(encode(*again)) == bytes_of(encode(m));
}

} // namespace

TEMPLATE_LIST_TEST_CASE("Mutated frames are refused or are valid messages", "[unit]", wire_messages) {
  unsigned accepted = 0;
  unsigned refused = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    INFO("seed " << seed);
    generator random(seed);
    const auto all = samples<TestType>();
    auto f = encode(all[seed % all.size()]);
    f.header = mutated(f.header, random);
    if (!f.payloads.empty() && random() % 4 == 0) {
      auto& payload = f.payloads[random() % f.payloads.size()];
      payload = mutated(payload, random);
    }
    const auto got = decode<TestType>(f, limits{});
    got ? ++accepted : ++refused;
    if (got)
      REQUIRE(sound(*got));
    else
      REQUIRE(got.error().text.starts_with("[decode "));
  }
  CHECK(accepted != 0);
  CHECK(refused != 0);
}

TEST_CASE("Mutated flat frames are refused or are valid messages", "[unit]") {
  for (std::uint64_t seed = 0; seed < 5000; ++seed) {
    INFO("seed " << seed);
    generator random(seed);
    const auto flat = mutated(flatten(encode(samples<dispatch>().front())), random);
    const auto f = unflatten(flat, limits{});
    if (!f) continue;
    if (const auto got = decode<dispatch>(*f, limits{})) REQUIRE(sound(*got));
  }
}

TEST_CASE("Random bytes are refused", "[unit]") {
  generator random(1);
  for (int i = 0; i < 5000; ++i) {
    std::vector<std::byte> bytes(random() % 300);
    for (auto& b : bytes) b = static_cast<std::byte>(random());
    REQUIRE_FALSE(unflatten(blob::copy_of(bytes), limits{}));
    bytes.resize(bytes.size() / 8 * 8);
    REQUIRE_FALSE(decode<dispatch>({blob::copy_of(bytes), {}}, limits{}));
  }
}
