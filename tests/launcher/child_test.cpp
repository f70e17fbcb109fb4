#include "launcher/child.hpp"

#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>

#include <csignal>

using namespace troupe::launcher;

TEST_CASE("a child that the kernel has collected has ended, nobody knows how", "[process]") {
  const auto before = ::signal(SIGCHLD, SIG_IGN);
  auto made = child::start({"true", "/bin/true", {}, {}, false});
  const auto collected = made
                         && troupe::test::wait_until([&] { return made->collect(); },
                                                     std::chrono::seconds(20));
  ::signal(SIGCHLD, before);
  REQUIRE(collected);
  CHECK_FALSE(made->running());
  CHECK_FALSE(made->status()->success());
  CHECK(made->status()->text() == "ended, and nobody knows how");
}
