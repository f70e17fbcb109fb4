#include "launcher/node/wakefulness.hpp"

#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <filesystem>
#include <map>

#include <sched.h>

using namespace troupe::node;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

/// A file in the place of the kernel's.
struct latency_file {
  latency_file() { path = folder.write("latency", ""); }

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

/// Threads of this process that run only when nothing else does, with their states (`proc(5)`).
std::map<pid_t, char> idle_class_threads() {
  std::map<pid_t, char> result;
  for (const auto& entry : fs::directory_iterator("/proc/self/task")) {
    const auto id = std::stoi(entry.path().filename());
    if (::sched_getscheduler(id) != SCHED_IDLE) continue;
    const auto stat = read_file(entry.path() / "stat");
    result[id] = stat[stat.rfind(')') + 2];
  }
  return result;
}

bool all_are(const std::map<pid_t, char>& threads, char state) {
  return std::ranges::all_of(threads, [state](const auto& t) { return t.second == state; });
}

int cores_of_this_process() {
  cpu_set_t allowed;
  REQUIRE(::sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  return CPU_COUNT(&allowed);
}

} // namespace

TEST_CASE("cores are kept awake while messages come, and no longer", "[unit]") {
  const latency_file file;
  wakefulness cores(wait_policy::automatic, file.path);
  CHECK_FALSE(file.is_held());
  for (int burst = 0; burst < 2; ++burst) {
    cores.stir();
    REQUIRE(wait_until([&] { return file.is_held(); }, 10s));
    REQUIRE(wait_until([&] { return !file.is_held(); }, 10s));
  }
  CHECK(file.content().substr(0, 4) == std::string(4, '\0')); // 0 microseconds, as the kernel reads it
  CHECK(idle_class_threads().empty());
}

TEST_CASE("passive waiting asks nobody", "[unit]") {
  const latency_file file;
  {
    wakefulness cores(wait_policy::passive, file.path);
    cores.stir();
  }
  CHECK(file.content().empty());
}

TEST_CASE("where the kernel may not be asked, nothing is done", "[unit]") {
  const temporary_directory folder;
  wakefulness cores(wait_policy::automatic, folder / "missing");
  cores.stir();
  CHECK_FALSE(fs::exists(folder / "missing"));
}

TEST_CASE("active waiting keeps one thread per core running that gives way to all others", "[unit]") {
  const temporary_directory folder;
  {
    wakefulness cores(wait_policy::active, folder / "missing");
    const auto wanted = static_cast<std::size_t>(cores_of_this_process());
    REQUIRE(wait_until([&] { return idle_class_threads().size() == wanted; }, 10s));
    REQUIRE(wait_until([&] { return all_are(idle_class_threads(), 'S'); }, 10s));
    REQUIRE(wait_until([&] { return cores.stir(), all_are(idle_class_threads(), 'R'); }, 10s));
    REQUIRE(wait_until([&] { return all_are(idle_class_threads(), 'S'); }, 10s));
    cores.stir(); // and it ends while they run
  }
  CHECK(idle_class_threads().empty());
}

TEST_CASE("names of the ways to wait", "[unit]") {
  CHECK(parse_wait_policy("auto") == wait_policy::automatic);
  CHECK(parse_wait_policy("active") == wait_policy::active);
  CHECK(parse_wait_policy("passive") == wait_policy::passive);
  CHECK_FALSE(parse_wait_policy("Active").has_value());
}
