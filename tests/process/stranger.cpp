#include "tests/process/stranger.hpp"

#include <caf/binary_deserializer.hpp>
#include <caf/init_global_meta_objects.hpp>
#include <caf/io/basp/header.hpp>
#include <caf/io/basp/message_type.hpp>
#include <caf/io/middleman.hpp>
#include <caf/span.hpp>

#include <catch2/catch_test_macros.hpp>

#include <set>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace troupe::test {

namespace basp = caf::io::basp;

raw_connection::raw_connection(const std::string& address) : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval patience{10, 0};
  ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  connected_ = ::connect(descriptor_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
}

raw_connection::~raw_connection() {
  ::close(descriptor_);
}

void raw_connection::send(const std::string& bytes) const {
  for (std::size_t done = 0; done < bytes.size();) {
    const auto n = ::send(descriptor_, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (n <= 0) return; // the other side has had enough
    done += static_cast<std::size_t>(n);
  }
}

std::string raw_connection::receive(std::size_t size) const {
  std::string result(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const auto n = ::recv(descriptor_, result.data() + done, size - done, 0);
    if (n <= 0) break;
    done += static_cast<std::size_t>(n);
  }
  result.resize(done);
  return result;
}

std::string caf_message(const std::vector<caf::type_id_t>& types, const std::string& elements) {
  auto result = std::string(1, static_cast<char>(types.size())); // below 128 a length is one byte
  for (auto type : types) result += caf_bytes(type);
  return result + elements;
}

namespace {

/// CAF's type table, filled once.
void register_types() {
  static const bool once = [] {
    caf::init_global_meta_objects<caf::id_block::troupe>();
    caf::init_global_meta_objects<caf::id_block::troupe_actors>();
    caf::io::middleman::init_global_meta_objects();
    caf::core::init_global_meta_objects();
    return true;
  }();
  (void)once;
}

template <class... Ts>
bool load(const std::string& bytes, Ts&... to) {
  caf::binary_deserializer source(
    nullptr, caf::span<const caf_byte>(reinterpret_cast<const caf_byte*>(bytes.data()), bytes.size()));
  return (source.apply(to) && ...);
}

std::string header_of(basp::message_type type, std::size_t payload, std::uint64_t to) {
  return caf_bytes(basp::header{type, 0, static_cast<std::uint32_t>(payload), 0, 0, to});
}

caf::node_id own_node() {
  caf::hashed_node_id::host_id_type host{};
  host.fill(0x5a);
  return caf::make_node_id(static_cast<std::uint32_t>(::getpid()), host);
}

} // namespace

stranger::stranger(const std::string& address) : connection_(address), self_(own_node()) {
  register_types();
  REQUIRE(connection_.connected());
  basp::header greeting;
  REQUIRE(load(connection_.receive(basp::header_size), greeting));
  caf::node_id head;
  std::vector<std::string> applications;
  std::set<std::string> contract;
  REQUIRE(load(connection_.receive(greeting.payload_len), head, applications, coordinator_, contract));
  REQUIRE(coordinator_ != 0);
  const auto name = caf_bytes(self_);
  connection_.send(header_of(basp::message_type::client_handshake, name.size(), 0) + name);
}

void stranger::tell(const std::string& message) const {
  tell(coordinator_, message);
}

void stranger::tell(std::uint64_t actor, const std::string& message) const {
  const auto payload = std::string(1, '\0') + message; // nobody has forwarded it
  connection_.send(header_of(basp::message_type::direct_message, payload.size(), actor) + payload);
}

void stranger::stall(std::uint32_t announced, std::uint32_t sent) const {
  connection_.send(header_of(basp::message_type::direct_message, announced, coordinator_)
                   + std::string(sent, '\0'));
}

std::string stranger::handle(std::uint64_t actor) const {
  return caf_bytes(actor) + caf_bytes(self_);
}

} // namespace troupe::test
