#include "model/kernels/buffer_pool.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

using namespace troupe;

TEST_CASE("a pool hands the same memory out again once its user has let go", "[unit]") {
  auto first = buffer_pool::acquire<float>(5000);
  auto* memory = first.as<float>();
  CHECK(reinterpret_cast<std::uintptr_t>(memory) % 64 == 0);
  auto second = buffer_pool::acquire<float>(5000);
  CHECK(second.as<float>() != memory);
  first = {};
  CHECK(buffer_pool::acquire<float>(4900).as<float>() == memory);
  CHECK(buffer_pool::acquire<float>(2000).as<float>() != memory);
}

TEST_CASE("a pooled tensor's memory comes back with its last copy, on any thread", "[unit]") {
  auto t = buffer_pool::make_tensor(dtype::f32, {10, 300});
  const auto* memory = t.as<float>().data();
  auto copy = t;
  t = {};
  CHECK(buffer_pool::make_tensor(dtype::f32, {10, 300}).as<float>().data() != memory);
  std::thread([last = std::move(copy)] { (void)last; }).join();
  copy = {};
  bool seen = false;
  std::vector<tensor> taken;
  for (int i = 0; i < 2; ++i) {
    taken.push_back(buffer_pool::make_tensor(dtype::f32, {10, 300}));
    seen = seen || taken.back().as<float>().data() == memory;
  }
  CHECK(seen);
}

TEST_CASE("a tensor from the pool may be empty", "[unit]") {
  const auto empty = buffer_pool::make_tensor(dtype::f32, {0, 7});
  CHECK(empty.present());
  CHECK(empty.bytes() == 0);
}

TEST_CASE("sizes of every magnitude get at least what they asked for", "[unit]") {
  for (std::size_t bytes = 0; bytes < (1u << 22); bytes = bytes * 5 / 4 + 1) {
    auto b = buffer_pool::acquire_bytes(bytes);
    if (bytes != 0) b.as<char>()[bytes - 1] = 1; // the sanitizer checks
    CHECK(b);
  }
}
