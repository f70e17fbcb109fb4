#include "messages/blob.hpp"
#include "messages/memory_shelves.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <cstring>
#include <vector>

using namespace troupe;

TEST_CASE("a shelf's size holds what was asked for and wastes at most a quarter", "[unit]") {
  for (std::size_t bytes = 1024; bytes < (std::size_t{1} << 40); bytes += bytes / 7 + 1) {
    const auto rounded = memory_shelves::rounded(bytes);
    REQUIRE(rounded >= bytes);
    REQUIRE(rounded * 4 <= bytes * 5);
    REQUIRE(rounded % 64 == 0);
    REQUIRE(memory_shelves::rounded(rounded) == rounded);
  }
}

TEST_CASE("a block that came back is taken again by who asks for its size", "[unit]") {
  memory_shelves shelves(1 << 20);
  const auto size = memory_shelves::rounded(100'000);
  auto* first = shelves.take(size);
  auto* second = shelves.take(size);
  REQUIRE(first != second);
  REQUIRE(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
  shelves.put(first, size);
  auto* smaller = shelves.take(memory_shelves::rounded(50'000));
  REQUIRE(smaller != first);
  REQUIRE(shelves.take(size) == first);
  for (auto* block : {first, second}) shelves.put(block, size);
  shelves.put(smaller, memory_shelves::rounded(50'000));
}

TEST_CASE("shelves keep what their bound allows, of all sizes together", "[unit]") {
  memory_shelves shelves(10'000);
  std::vector<void*> small, large;
  for (int i = 0; i < 40; ++i) small.push_back(shelves.take(1024));
  for (int i = 0; i < 2; ++i) large.push_back(shelves.take(4096));
  CHECK(shelves.kept_bytes() == 0);
  shelves.put(large[0], 4096);
  for (auto* block : small) shelves.put(block, 1024);
  CHECK(shelves.kept_bytes() == 4096 + 5 * 1024);
  shelves.put(large[1], 4096);
  CHECK(shelves.kept_bytes() == 4096 + 5 * 1024);
  auto* again = shelves.take(4096);
  CHECK(again == large[0]);
  CHECK(shelves.kept_bytes() == 5 * 1024);
  shelves.put(again, 4096);
}

TEST_CASE("a large blob's memory stays its own for as long as a copy lives", "[unit]") {
  constexpr std::size_t size = 300'000;
  auto original = blob::allocate(size);
  std::memset(original.mutable_data(), 1, size);
  const auto part = original.part(1000, 10);
  original = {};
  auto next = blob::allocate(size);
  std::memset(next.mutable_data(), 2, size);
  for (auto byte : part.bytes()) REQUIRE(byte == std::byte{1});
}
