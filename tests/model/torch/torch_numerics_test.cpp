#include "model/catch_failures.hpp"
#include "model/torch/torch_error.hpp"
#include "model/torch/torch_numerics.hpp"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <catch2/catch_test_macros.hpp>

#include <stdexcept>
#include <thread>

using namespace troupe;

namespace {

numerics_libraries libtorch() {
  numerics_libraries result;
  use_torch(result);
  return result;
}

fingerprint of_a_thread() {
  fingerprint result;
  std::thread([&] {
    prepare_compute_thread(libtorch(), 1);
    result = numerics_fingerprint(libtorch());
  }).join();
  return result;
}

} // namespace

TEST_CASE("LibTorch's part of the numerics fingerprint is the same on every call and thread", "[unit]") {
  const auto once = of_a_thread();
  CHECK(once.text.find("LibTorch 2.") != std::string::npos);
  CHECK(once.text.find("MKL_CBWR=") != std::string::npos);
  CHECK(once.hex == of_a_thread().hex);
  CHECK(once.hex != numerics_fingerprint({}).hex);
}

TEST_CASE("a prepared thread computes with the given intra-op threads and without gradients", "[unit]") {
  int threads = 0;
  bool inference = false;
  std::thread([&] {
    prepare_compute_thread(libtorch(), 1);
    threads = at::get_num_threads();
    inference = c10::InferenceMode::is_enabled();
  }).join();
  CHECK(threads == 1);
  CHECK(inference);
  CHECK_FALSE(c10::InferenceMode::is_enabled());
}

TEST_CASE("what LibTorch throws becomes one line of error text", "[unit]") {
  const auto mismatch = []() -> int { TORCH_CHECK(false, "shapes\ndo not match"); };
  const auto failed = catch_failures("trunk", mismatch, torch_failure_in_flight);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().text.starts_with("[trunk] LibTorch: shapes do not match"));
  CHECK(failed.error().text.find('\n') == std::string::npos);
  try {
    fail_run_on_torch_error("expert 3", [] { throw std::runtime_error("odd"); });
    FAIL("nothing was thrown");
  } catch (const run_failure& failure) {
    CHECK(failure.reason().text == "[expert 3] exception: odd");
  }
}
