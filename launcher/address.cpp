#include "launcher/address.hpp"

#include <climits>

#include <arpa/inet.h>
#include <unistd.h>

namespace troupe::launcher {

bool address::loopback() const {
  if (host == "localhost" || host == "::1") return true;
  in_addr numeric{};
  return ::inet_pton(AF_INET, host.c_str(), &numeric) == 1 && (ntohl(numeric.s_addr) >> 24U) == 127;
}

address address::from_here() const {
  if (host == "0.0.0.0" || host.empty()) return {"127.0.0.1", port};
  if (host == "::") return {"::1", port};
  return *this;
}

address address::from_elsewhere() const {
  if (host != "0.0.0.0" && host != "::" && !host.empty()) return *this;
  char name[HOST_NAME_MAX + 1] = {};
  if (::gethostname(name, HOST_NAME_MAX) != 0) return *this;
  return {name, port};
}

std::string address::text() const {
  const auto name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return name + ":" + std::to_string(port);
}

expected<address> parse_address(const std::string& option, const std::string& text) {
  const auto wrong = fail(
    error_code::usage,
    option + ": got '" + text
      + "', limit HOST:PORT with a port up to 65535, such as 127.0.0.1:4040 or [::1]:4040");
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size() || text.size() - colon > 6)
    return wrong;
  auto host = text.substr(0, colon);
  const auto digits = text.substr(colon + 1);
  if (digits.find_first_not_of("0123456789") != std::string::npos || std::stoul(digits) > 65535) return wrong;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string::npos)
    return wrong;
  if (host.find_first_of(" \t/[]") != std::string::npos) return wrong;
  return address{host, static_cast<std::uint16_t>(std::stoul(digits))};
}

} // namespace troupe::launcher
