#include "launcher/node/connection_watch.hpp"

#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cstring>
#include <optional>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace troupe::node;
using namespace std::chrono_literals;

namespace {

/// A connection between two ends of this process; over a network of its own, which can go dark, if that is
/// wished and allowed.
class connection {
public:
  explicit connection(bool own_network) {
    std::thread([&] { // the network belongs to the thread that makes it, and then to its sockets
      if (own_network) separate_ = ::unshare(CLONE_NEWNET) == 0;
      control_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      if (separate_) set_loopback(true);
      connect();
    })
      .join();
  }

  ~connection() {
    for (const int one : {listener_, near_, far_, control_})
      if (one >= 0) ::close(one);
  }

  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  bool separate() const { return separate_; }
  std::uint16_t port() const { return port_; }

  void go_dark() { set_loopback(false); }

  /// Writes until the other end, which reads nothing, takes no more.
  void fill() const {
    const std::string block(1 << 16, 'x');
    while (::send(near_, block.data(), block.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
  }

  /// Whether an end was shut down.
  bool cut() const {
    pollfd ends[2] = {{near_, POLLRDHUP, 0}, {far_, POLLRDHUP, 0}};
    return ::poll(ends, 2, 0) > 0;
  }

  bool asks_when_silent() const {
    int on = 0;
    socklen_t size = sizeof on;
    return ::getsockopt(near_, SOL_SOCKET, SO_KEEPALIVE, &on, &size) == 0 && on != 0;
  }

private:
  void set_loopback(bool up) const {
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = up ? IFF_UP : 0;
    ::ioctl(control_, SIOCSIFFLAGS, &request);
  }

  void connect() {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* address = reinterpret_cast<sockaddr*>(&at);
    socklen_t size = sizeof at;
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    near_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(listener_, address, size) != 0 || ::listen(listener_, 1) != 0) return;
    if (::getsockname(listener_, address, &size) != 0 || ::connect(near_, address, size) != 0) return;
    far_ = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    port_ = ntohs(at.sin_port);
  }

  bool separate_ = false;
  std::uint16_t port_ = 0;
  int control_ = -1;
  int listener_ = -1;
  int near_ = -1;
  int far_ = -1;
};

} // namespace

TEST_CASE("a connection is given up when nothing is answered, and not for silence or slowness", "[unit]") {
  // What TCP_INFO said every second, over a pair of virtual network devices: docs/decisions/0011.
  CHECK(is_gone({3996ms, 0, 3}));       // idle, the other machine gone for 4 s
  CHECK_FALSE(is_gone({1996ms, 0, 1})); // for 2 s
  CHECK(is_gone({3072ms, 4, 0}));       // the same with data on the way
  CHECK_FALSE(is_gone({2072ms, 3, 0}));
  CHECK_FALSE(is_gone({7004ms, 0, 0}));  // another run: stopped, takes no data, the last window probe was
                                         // answered
  CHECK_FALSE(is_gone({11820ms, 0, 2})); // and then its machine gone: the next probe has not been sent
  CHECK(is_gone({27828ms, 0, 3}));
  CHECK_FALSE(is_gone({2120ms, 0, 0})); // line of 1 Mbit/s with a queue of 2 s
}

TEST_CASE("connections are watched whose port is meant", "[unit]") {
  const connection meant(false), other(false);
  REQUIRE(meant.port() != 0);
  REQUIRE(other.port() != 0);
  const connection_watch watch(meant.port());
  CHECK(troupe::test::wait_until([&] { return meant.asks_when_silent(); }, 10s));
  CHECK_FALSE(other.asks_when_silent());
  CHECK_FALSE(meant.cut());
}

TEST_CASE("an end that takes no data stays connected, and is cut when its network goes dark", "[unit]") {
  connection idle(true), busy(true), full(false);
  if (!idle.separate() || !busy.separate()) SKIP("no network namespaces: not allowed here");
  const connection_watch watch_idle(idle.port()), watch_busy(busy.port()), watch_full(full.port());
  full.fill();
  idle.go_dark();
  busy.go_dark();
  busy.fill();
  CHECK(troupe::test::wait_until([&] { return idle.cut() && busy.cut(); }, 25s));
  CHECK_FALSE(full.cut());
}
