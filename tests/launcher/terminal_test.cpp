#include "tests/launcher/launcher_fixture.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <csignal>

using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;

namespace {

const std::string hide_cursor = "\x1b[?25l";
const std::string show_cursor = "\x1b[?25h";
const variables capable = {{"TERM", "xterm"}, {"LC_ALL", "C.UTF-8"}};

variables waiting() {
  auto all = capable;
  all.emplace_back("FAKE_HEAD", "wait");
  return all;
}

} // namespace

TEST_CASE("a terminal shows a progress bar, the load of the experts, and gets its cursor back", "[process]") {
  auto launcher = start_troupe({"train"}, capable, true);
  REQUIRE(launcher.wait(patience) == exit_status{0, 0});
  const auto output = launcher.output();
  CHECK_THAT(output, ContainsSubstring("250/469") && ContainsSubstring("loss 0.4821")
                       && ContainsSubstring("81.2k samples/s"));
  CHECK_THAT(output, ContainsSubstring("load  0 ") && ContainsSubstring("max/mean 2.00"));
  CHECK_THAT(output, !ContainsSubstring("Step 100")); // plain lines are for files
  CHECK_THAT(output, ContainsSubstring("Test accuracy: 0.8431"));
  CHECK(output.rfind(show_cursor) > output.rfind(hide_cursor));
}

TEST_CASE("Ctrl-C gives the terminal its cursor back", "[process]") {
  auto launcher = start_troupe({"train"}, waiting(), true);
  REQUIRE(launcher.wait_for_output("250/469", patience));
  launcher.send_to_group(SIGINT);
  REQUIRE(launcher.wait(patience) == exit_status{130, 0});
  CHECK(launcher.output().rfind(show_cursor) > launcher.output().rfind(hide_cursor));
}

TEST_CASE("a dumb terminal gets plain lines", "[process]") {
  auto launcher = start_troupe({"train"}, {{"TERM", "dumb"}}, true);
  REQUIRE(launcher.wait(patience) == exit_status{0, 0});
  CHECK_THAT(launcher.output(), ContainsSubstring("Step 100 | Loss: 0.4821") && !ContainsSubstring("\x1b"));
}

TEST_CASE("Ctrl-Z stops the node processes too, until the run goes on", "[process]") {
  auto launcher = start_troupe({"train"}, waiting(), true);
  REQUIRE(launcher.wait_for_output("250/469", patience));
  const auto children = wait_for_children(launcher, 1);
  REQUIRE(children.size() == 1);
  const auto stopped = [](pid_t pid) {
    return read_file("/proc/" + std::to_string(pid) + "/stat").find(") T ") != std::string::npos;
  };
  launcher.send(SIGTSTP);
  CHECK(wait_until([&] { return stopped(launcher.pid()) && stopped(children[0]); }, patience));
  launcher.send(SIGCONT);
  CHECK(wait_until([&] { return !stopped(launcher.pid()) && !stopped(children[0]); }, patience));
  launcher.send(SIGTERM);
  REQUIRE(launcher.wait(patience) == exit_status{130, 0});
}
