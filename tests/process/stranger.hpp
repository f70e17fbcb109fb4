#pragma once

#include "actors/shell/contracts.hpp"

#include <caf/binary_serializer.hpp>
#include <caf/node_id.hpp>

#include <cstdint>
#include <string>
#include <vector>

// Somebody at the listening port who is none of the company: bytes that a CAF node might send, made by hand,
// so that any of them can be wrong.
namespace troupe::test {

/// A TCP connection to 127.0.0.1, closed at the end of the scope.
class raw_connection {
public:
  /// `address`: "127.0.0.1:PORT".
  explicit raw_connection(const std::string& address);
  ~raw_connection();
  raw_connection(const raw_connection&) = delete;
  raw_connection& operator=(const raw_connection&) = delete;

  bool connected() const noexcept { return connected_; }
  void send(const std::string& bytes) const;

  /// Exactly `size` bytes, or fewer if the other side closes or says nothing for 10 s.
  std::string receive(std::size_t size) const;

private:
  int descriptor_;
  bool connected_ = false;
};

/// What CAF's binary serializer makes of `x`.
template <class T>
std::string caf_bytes(const T& x) {
  caf::byte_buffer buffer;
  caf::binary_serializer sink(nullptr, buffer);
  if (!sink.apply(x)) return {};
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

/// A CAF message with elements of the given types, whose bytes are `elements`.
std::string caf_message(const std::vector<caf::type_id_t>& types, const std::string& elements);

template <class T>
std::string caf_message_of(const T& x) {
  return caf_message({caf::type_id_v<T>}, caf_bytes(x));
}

/// A stranger who has shaken hands with a head and knows the number of its coordinator.
class stranger {
public:
  explicit stranger(const std::string& address);

  /// Sends to the coordinator, without a sender.
  void tell(const std::string& message) const;

  /// The same to any actor of the head.
  void tell(std::uint64_t actor, const std::string& message) const;

  /// Announces a message of `announced` bytes and sends `sent` of them.
  void stall(std::uint32_t announced, std::uint32_t sent) const;

  std::uint64_t coordinator() const noexcept { return coordinator_; }

  /// Bytes of a handle of an actor of this stranger's own.
  std::string handle(std::uint64_t actor) const;

private:
  raw_connection connection_;
  caf::node_id self_;
  std::uint64_t coordinator_ = 0;
};

} // namespace troupe::test
