#include "launcher/node/connection_watch.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <optional>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace troupe::node {

namespace {

constexpr std::chrono::seconds look_interval{1};
constexpr int keep_alive_seconds = 1; ///< until the first probe of a silent connection, and between probes

/// No line that works is silent for so long while it is asked.
constexpr std::chrono::seconds silence_max{3};

/// The kernel repeats data at the connection's own pace: after 0.2, 0.6 and 1.4 s on a fast line, later on a
/// slow one. And when this machine itself was suspended, the others are asked anew before they are given up.
constexpr unsigned unanswered_max = 3;

std::vector<int> open_descriptors() {
  std::vector<int> result;
  std::error_code failed; // without a descriptor to spare or without /proc there is nothing to look at
  for (std::filesystem::directory_iterator entry("/proc/self/fd", failed), end; !failed && entry != end;
       entry.increment(failed))
    result.push_back(std::atoi(entry->path().filename().c_str()));
  return result;
}

/// Port of one end of a connection, by `getsockname` or `getpeername`; 0 if it has none.
std::uint16_t port_of(int descriptor, decltype(&::getsockname) name_of) {
  sockaddr_in6 name{}; // the port is at the same place as in sockaddr_in
  socklen_t size = sizeof name;
  if (name_of(descriptor, reinterpret_cast<sockaddr*>(&name), &size) != 0) return 0;
  return name.sin6_family == AF_INET || name.sin6_family == AF_INET6 ? ntohs(name.sin6_port) : 0;
}

/// How a connection stands that has `port` at either end; nothing for any other descriptor.
std::optional<contact> contact_of(int descriptor, std::uint16_t port) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  if (info.tcpi_state != TCP_ESTABLISHED) return {};
  if (port_of(descriptor, ::getsockname) != port && port_of(descriptor, ::getpeername) != port) return {};
  return contact{std::chrono::milliseconds(info.tcpi_last_ack_recv), info.tcpi_retransmits, info.tcpi_probes};
}

/// Has the kernel ask the other one once a second while nothing is said.
void keep_alive(int descriptor) {
  int on = 0;
  socklen_t size = sizeof on;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, &size) != 0 || on != 0) return;
  on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &keep_alive_seconds, sizeof keep_alive_seconds);
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, &keep_alive_seconds, sizeof keep_alive_seconds);
  ::setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

/// Ends a connection whose other machine is gone. Its owner may close the descriptor at any time, and the
/// number may come to mean another connection: a duplicate keeps meaning the one that was looked at.
void cut_if_gone(int descriptor, std::uint16_t port) {
  const int held = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (held < 0) return;
  if (const auto c = contact_of(held, port); c && is_gone(*c)) ::shutdown(held, SHUT_RDWR);
  ::close(held);
}

void look_at_connections(std::uint16_t port) {
  for (const int descriptor : open_descriptors()) {
    const auto c = contact_of(descriptor, port);
    if (!c) continue;
    keep_alive(descriptor);
    if (is_gone(*c)) cut_if_gone(descriptor, port);
  }
}

} // namespace

bool is_gone(const contact& c) noexcept {
  return c.silence >= silence_max && std::max(c.repeats, c.probes) >= unanswered_max;
}

connection_watch::connection_watch(std::uint16_t port)
  : thread_([port](std::stop_token stop) {
      std::mutex mutex;
      std::condition_variable_any wake;
      std::unique_lock lock(mutex);
      while (!wake.wait_for(lock, stop, look_interval, [&] { return stop.stop_requested(); })) {
        try {
          look_at_connections(port);
        } catch (const std::bad_alloc&) {
          // There may be memory in a second; whoever needs it more says so.
        }
      }
    }) {
  // nop
}

} // namespace troupe::node
