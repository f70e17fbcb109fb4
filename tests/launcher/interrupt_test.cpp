#include "tests/launcher/launcher_fixture.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <csignal>
#include <iterator>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;

namespace {

struct run_under_way {
  process launcher;
  std::vector<pid_t> children;
};

run_under_way start_run(const std::string& head) {
  auto launcher = start_troupe({"train", "--nodes", "2", "--log-interval", "50"}, {{"FAKE_HEAD", head}});
  auto children = wait_for_children(launcher, 3);
  REQUIRE(children.size() == 3);
  REQUIRE(launcher.wait_for_output("Step 250 ", patience));
  return {std::move(launcher), std::move(children)};
}

} // namespace

TEST_CASE("Ctrl-C ends everything cleanly", "[process]") {
  auto [launcher, children] = start_run("wait");
  launcher.send_to_group(SIGINT);
  REQUIRE(launcher.wait(milliseconds(4000)) == exit_status{130, 0}); // asked, not killed: well before the
                                                                     // grace of 5 s
  CHECK_THAT(launcher.errors(), ContainsSubstring("troupe: stopping")
                                  && ContainsSubstring("troupe: interrupted at step 250 of 469")
                                  && !ContainsSubstring("error"));
  CHECK(all_gone(children));
}

TEST_CASE("Ctrl-C ends a run whose output nobody reads", "[process]") {
  temporary_directory place;
  const auto pipe = place / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const int ours = ::open(pipe.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  const std::string filling(4096, '-');
  while (::write(ours, filling.data(), filling.size()) > 0) continue; // until it is full
  std::vector<std::string> command{"sh", "-c", "exec \"$@\" >\"$0\"", pipe};
  std::ranges::copy(with_fake_node({"train", "--nodes", "2", "--log-interval", "50"}),
                    std::back_inserter(command));
  process_options options;
  options.environment = {{"FAKE_HEAD", "wait"}};
  auto launcher = process::start(command, options);
  const auto children = wait_for_children(launcher, 3);
  REQUIRE(children.size() == 3);
  launcher.send(SIGINT);
  REQUIRE(launcher.wait(patience) == exit_status{130, 0});
  CHECK(all_gone(children));
  ::close(ours);
}

TEST_CASE("SIGTERM ends everything cleanly", "[process]") {
  auto [launcher, children] = start_run("wait");
  launcher.send(SIGTERM);
  REQUIRE(launcher.wait(milliseconds(4000)) == exit_status{130, 0});
  CHECK(all_gone(children));
}

TEST_CASE("a second Ctrl-C ends a process that does not listen at once", "[process]") {
  auto [launcher, children] = start_run("stubborn");
  launcher.send_to_group(SIGINT);
  REQUIRE(launcher.wait_for_errors("Ctrl-C again", patience));
  CHECK_FALSE(launcher.wait(milliseconds(300)));
  launcher.send_to_group(SIGINT);
  REQUIRE(launcher.wait(milliseconds(2000)) == exit_status{130, 0});
  CHECK(all_gone(children));
}

TEST_CASE("a process that does not listen to Ctrl-C is killed after its grace", "[process]") {
  auto [launcher, children] = start_run("stubborn");
  launcher.send_to_group(SIGINT);
  REQUIRE(launcher.wait(milliseconds(8000)) == exit_status{130, 0});
  CHECK(all_gone(children));
}

TEST_CASE("a launcher that is killed leaves no process behind", "[process]") {
  auto [launcher, children] = start_run("stubborn");
  launcher.send(SIGKILL);
  REQUIRE(launcher.wait(patience) == exit_status{0, SIGKILL});
  CHECK(all_gone(children));
}
