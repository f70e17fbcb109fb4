#include "launcher/node/address_trial.hpp"

#include <cerrno>
#include <cstring>
#include <memory>

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace troupe::node {

namespace {

constexpr int patience_ms = 3000;

/// The error of binding a socket to `at`, 0 if there is none.
int error_of_binding(int socket, const addrinfo& at) {
  const int yes = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  return ::bind(socket, at.ai_addr, at.ai_addrlen) != 0 || ::listen(socket, 1) != 0 ? errno : 0;
}

int error_of_connecting(int socket, const addrinfo& at) {
  if (::connect(socket, at.ai_addr, at.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd waiting{socket, POLLOUT, 0};
  if (::poll(&waiting, 1, patience_ms) <= 0) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

/// The words for what `error_of` says of the last of the host's addresses; empty if one of them works.
std::string trial(const launcher::address& where, int (*error_of)(int socket, const addrinfo& at)) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const auto failed = ::getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints,
                                        &found))
    return ::gai_strerror(failed);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, &::freeaddrinfo);
  int error = 0;
  for (const auto* at = found; at != nullptr; at = at->ai_next) {
    const int socket = ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                at->ai_protocol);
    error = socket < 0 ? errno : error_of(socket, *at);
    if (socket >= 0) ::close(socket);
    if (error == 0) return {};
  }
  return std::strerror(error);
}

} // namespace

std::string why_not_listen(const launcher::address& where) {
  return trial(where, error_of_binding);
}

std::string why_not_connect(const launcher::address& where) {
  return trial(where, error_of_connecting);
}

} // namespace troupe::node
