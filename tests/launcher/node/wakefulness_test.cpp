#include "launcher/node/wakefulness.hpp"

#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <iterator>

using namespace troupe::node;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

/// A file in the place of the kernel's.
struct latency_file {
  latency_file() { path = fs::canonical(folder.write("latency", "")); }

  bool is_held() const {
    std::error_code gone;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd"))
      if (fs::read_symlink(entry.path(), gone) == path) return true;
    return false;
  }

  std::string content() const { return read_file(path); }

  temporary_directory folder;
  std::string path;
};

std::ptrdiff_t threads_of_this_process() {
  return std::distance(fs::directory_iterator("/proc/self/task"), {});
}

} // namespace

TEST_CASE("cores are kept awake while messages come, and no longer", "[unit]") {
  const latency_file file;
  wakefulness cores(wait_policy::active, file.path);
  CHECK_FALSE(file.is_held());
  for (int burst = 0; burst < 2; ++burst) {
    REQUIRE(wait_until([&] { return cores.stir(), file.is_held(); }, 60s));
    REQUIRE(wait_until([&] { return !file.is_held(); }, 60s));
  }
  CHECK(file.content().substr(0, 4) == std::string(4, '\0')); // 0 microseconds, as the kernel reads it
}

TEST_CASE("cores are not kept awake by a run that has ended", "[unit]") {
  const latency_file file;
  {
    wakefulness cores(wait_policy::active, file.path);
    REQUIRE(wait_until([&] { return cores.stir(), file.is_held(); }, 60s));
    cores.stir();
  }
  CHECK_FALSE(file.is_held());
}

TEST_CASE("a run goes on where the kernel may not be asked to keep cores awake", "[unit]") {
  const latency_file file;
  wakefulness cores(wait_policy::active, file.folder / "missing");
  wakefulness others(wait_policy::active, file.path);
  // The first one has its turns while the second one has them.
  for (int burst = 0; burst < 2; ++burst) {
    REQUIRE(wait_until([&] { return cores.stir(), others.stir(), file.is_held(); }, 60s));
    REQUIRE(wait_until([&] { return !file.is_held(); }, 60s));
  }
  CHECK_FALSE(fs::exists(file.folder / "missing"));
}

TEST_CASE("passive waiting has no thread and asks nobody", "[unit]") {
  const latency_file file;
  const auto before = threads_of_this_process();
  wakefulness cores(wait_policy::passive, file.path);
  CHECK(threads_of_this_process() <= before); // an earlier one may still be ending
  cores.stir();
  CHECK_FALSE(file.is_held());
}

TEST_CASE("names of the ways to wait", "[unit]") {
  CHECK(parse_wait_policy("active") == wait_policy::active);
  CHECK(parse_wait_policy("passive") == wait_policy::passive);
  CHECK_FALSE(parse_wait_policy("Active").has_value());
}
