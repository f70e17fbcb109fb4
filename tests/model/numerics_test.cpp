#include "model/numerics.hpp"

#include <catch2/catch_test_macros.hpp>

#include <string_view>
#include <thread>

using namespace troupe;

namespace {

/// A library that computes `result`.
numerics_libraries with_library(std::string_view result) {
  return {
    {"slide rule",
     {[](std::uint32_t) {}, [] { return "of 1957"; }, [result](sha256& hash) { hash.update(result); }}}};
}

} // namespace

TEST_CASE("the numerics fingerprint is the same on every call and thread, and says what is behind it",
          "[unit]") {
  const auto here = numerics_fingerprint({});
  CHECK(here.hex.size() == 64);
  CHECK(here.text.starts_with("kernels "));
  fingerprint there;
  std::thread([&] { there = numerics_fingerprint({}); }).join();
  CHECK(there.hex == here.hex);
  CHECK(there.text == here.text);
}

TEST_CASE("the numerics fingerprint covers the libraries that added parts compute with", "[unit]") {
  const auto plain = numerics_fingerprint({});
  const auto one = numerics_fingerprint(with_library("3.14"));
  const auto other = numerics_fingerprint(with_library("3.15"));
  CHECK(one.text == plain.text + ", slide rule of 1957");
  CHECK(one.hex != plain.hex);
  CHECK(one.hex != other.hex);
}

TEST_CASE("a compute thread is prepared by the libraries that added parts compute with", "[unit]") {
  std::uint32_t threads = 0;
  auto libraries = with_library("3.14");
  libraries["slide rule"].prepare_thread = [&](std::uint32_t n) { threads = n; };
  prepare_compute_thread(libraries, 3);
  CHECK(threads == 3);
}
