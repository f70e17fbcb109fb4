#include "model/factory.hpp"
#include "model/numerics.hpp"
#include "model/torch_border.hpp"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <catch2/catch_test_macros.hpp>

#include <new>
#include <stdexcept>
#include <thread>

using namespace troupe;

TEST_CASE("the numerics fingerprint is the same on every call and thread, and says what is behind it",
          "[unit]") {
  const auto here = numerics_fingerprint();
  CHECK(here.hex.size() == 64);
  CHECK(here.text.find("LibTorch 2.") != std::string::npos);
  CHECK(here.text.find("MKL_CBWR=") != std::string::npos);
  fingerprint there;
  std::thread([&] {
    prepare_compute_thread(1);
    there = numerics_fingerprint();
  }).join();
  fingerprint again;
  std::thread([&] {
    prepare_compute_thread(1);
    again = numerics_fingerprint();
  }).join();
  CHECK(there.hex == again.hex);
}

TEST_CASE("a prepared thread computes with the given intra-op threads and without gradients", "[unit]") {
  int threads = 0;
  bool inference = false;
  std::thread([&] {
    prepare_compute_thread(1);
    threads = at::get_num_threads();
    inference = c10::InferenceMode::is_enabled();
  }).join();
  CHECK(threads == 1);
  CHECK(inference);
  CHECK_FALSE(c10::InferenceMode::is_enabled());
}

TEST_CASE("what LibTorch throws becomes one line of error text at the model's border", "[unit]") {
  const auto failed = catch_torch("trunk", []() -> int { TORCH_CHECK(false, "shapes\ndo not match"); });
  REQUIRE_FALSE(failed);
  CHECK(failed.error().text.starts_with("[trunk] LibTorch: shapes do not match"));
  CHECK(failed.error().text.find('\n') == std::string::npos);
  CHECK(catch_torch("trunk", [] { return 7; }).value() == 7);
  CHECK(catch_torch("trunk", [] {}).has_value());
  CHECK(catch_torch("trunk", [] { throw std::bad_alloc{}; }).error().code == error_code::unavailable);
  CHECK(catch_torch("trunk", [] { throw std::runtime_error("odd"); }).error().text
        == "[trunk] exception: odd");
  const auto passed_on = catch_torch("trunk",
                                     []() -> expected<int> { return fail(error_code::usage, "no"); });
  CHECK(passed_on.error().code == error_code::usage);
}
