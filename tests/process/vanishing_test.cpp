// A machine that loses its power or its network closes no connection: it only stops answering.

#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>

#include <unistd.h>

using namespace troupe::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

using words = std::vector<std::string>;

/// Two machines and a cable, made of network namespaces; gone at the end of the scope.
class cable {
public:
  cable() {
    const auto id = std::to_string(::getpid());
    left_ = "troupe-left-" + id;
    right_ = "troupe-right-" + id;
    const words link{"link", "add",  "cable", "netns", left_,  "type",
                     "veth", "peer", "name",  "cable", "netns"};
    made_ = ip({"netns", "add", left_}) && ip({"netns", "add", right_}) && ip(link, {right_})
            && ip({"-n", left_, "address", "add", left_address + "/24", "dev", "cable"})
            && ip({"-n", right_, "address", "add", "192.0.2.2/24", "dev", "cable"})
            && ip({"-n", left_, "link", "set", "cable", "up"})
            && ip({"-n", right_, "link", "set", "cable", "up"});
  }

  ~cable() {
    for (const auto& machine : {left_, right_}) ip({"netns", "delete", machine});
  }

  cable(const cable&) = delete;
  cable& operator=(const cable&) = delete;

  bool made() const { return made_; }

  void cut() { REQUIRE(ip({"-n", right_, "link", "set", "cable", "down"})); }

  process start_left(const words& command) const { return start(left_, command); }
  process start_right(const words& command) const { return start(right_, command); }

  const std::string left_address = "192.0.2.1";

private:
  static bool ip(words command, const words& more = {}) {
    command.insert(command.begin(), "ip");
    command.insert(command.end(), more.begin(), more.end());
    return run(command, 10s).status.success(); // 127 where there is no such program
  }

  static process start(const std::string& machine, const words& command) {
    words all{"ip", "netns", "exec", machine};
    all.insert(all.end(), command.begin(), command.end());
    return process::start(all);
  }

  std::string left_;
  std::string right_;
  bool made_ = false;
};

} // namespace

TEST_CASE("head and node notice when the other's machine vanishes, not when it is stopped", "[process]") {
  cable line;
  if (!line.made()) SKIP("no network namespaces: needs root and the program ip");
  const auto address = line.left_address + ":7077";
  auto head = line.start_left(awkward_run({"--listen", address, "--insecure"}, 1000000));
  REQUIRE(head.wait_for_output("Listening", 60s));
  auto node = line.start_right(
    {program("troupe"), "node", "--join", address, "--insecure", "--name", "guest"});
  REQUIRE(head.wait_for_output("Step 20 ", 60s));
  {
    const paused stopped(process_of_node(node, "guest"));
    CHECK_FALSE(head.wait(5s)); // longer than a machine may be silent
  }
  const auto seen = head.output().size();
  REQUIRE(wait_until([&] { return head.output().find("\nStep ", seen) != std::string::npos; }, 30s));

  line.cut();
  const auto cut_at = std::chrono::steady_clock::now();
  const auto head_end = head.wait(25s);
  const auto node_end = node.wait(25s);
  INFO(head.output() << head.errors() << node.output() << node.errors());
  CHECK(std::chrono::steady_clock::now() - cut_at < 25s); // CAF alone would take 30
  REQUIRE(head_end);
  CHECK(*head_end == exit_status{1, 0});
  CHECK_THAT(head.errors(),
             StartsWith("troupe: warning: --listen: connections from other machines are not encrypted; ")
               && ContainsSubstring("\ntroupe: error: [node] guest (") && ContainsSubstring(") is lost: "));
  CHECK(std::ranges::count(head.errors(), '\n') == 2);
  REQUIRE(node_end);
  CHECK(*node_end == exit_status{1, 0});
  CHECK_THAT(
    node.errors(),
    StartsWith("troupe: warning: --join: the connection to " + address + " is not encrypted; ")
      && ContainsSubstring("\ntroupe: error: [node] the connection to the head at " + address + " ended"));
  CHECK(std::ranges::count(node.errors(), '\n') == 2);
}
