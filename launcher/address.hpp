#pragma once

#include "messages/error.hpp"

#include <cstdint>
#include <string>

namespace troupe::launcher {

/// A place to listen at or to connect to.
struct address {
  std::string host;       ///< name or number, IPv6 without brackets
  std::uint16_t port = 0; ///< 0: any free one

  /// Only processes of this machine can reach it.
  bool loopback() const;
  /// The address to connect to from this machine: a listener on all interfaces is reached through loopback.
  address from_here() const;
  /// The address to connect to from other machines: a listener on all interfaces is reached by this machine's
  /// name.
  address from_elsewhere() const;
  /// HOST:PORT, [HOST]:PORT for IPv6.
  std::string text() const;
};

/// Reads HOST:PORT or [IPv6]:PORT. Errors: `usage`, naming `option`.
expected<address> parse_address(const std::string& option, const std::string& text);

} // namespace troupe::launcher
