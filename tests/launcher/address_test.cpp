#include "launcher/address.hpp"

#include <catch2/catch_test_macros.hpp>

#include <sys/utsname.h>

using namespace troupe::launcher;

TEST_CASE("an address is a host and a port", "[unit]") {
  const auto plain = parse_address("--join", "example.org:4040");
  REQUIRE(plain);
  CHECK(plain->host == "example.org");
  CHECK(plain->port == 4040);
  const auto six = parse_address("--join", "[::1]:80");
  REQUIRE(six);
  CHECK(six->host == "::1");
  CHECK(six->text() == "[::1]:80");
}

TEST_CASE("what is no address is refused with the option's name", "[unit]") {
  for (const char* text :
       {"", "host", ":1", "host:", "host:65536", "host:1x", "host:-1", "::1:80", "a b:1", "[]:1", "h/x:1"}) {
    CAPTURE(text);
    const auto result = parse_address("--join", text);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == troupe::error_code::usage);
    CHECK(result.error().text.starts_with("--join: got '"));
  }
}

TEST_CASE("loopback is what only this machine can reach", "[unit]") {
  for (const char* host : {"127.0.0.1", "127.8.9.10", "localhost", "::1"}) CHECK(address{host, 1}.loopback());
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "127.0.0.1.example.org",
                           "127.evil.example", "example.org", "127.1"})
    CHECK_FALSE(address{host, 1}.loopback());
}

TEST_CASE("a listener on all interfaces is reached through loopback", "[unit]") {
  CHECK(address{"0.0.0.0", 7}.from_here().text() == "127.0.0.1:7");
  CHECK(address{"::", 7}.from_here().text() == "[::1]:7");
  CHECK(address{"10.0.0.1", 7}.from_here().text() == "10.0.0.1:7");
}

TEST_CASE("a listener on all interfaces is reached from elsewhere by the machine's name", "[unit]") {
  utsname machine{};
  REQUIRE(::uname(&machine) == 0);
  CHECK(address{"0.0.0.0", 7}.from_elsewhere().text() == std::string(machine.nodename) + ":7");
  CHECK(address{"::", 7}.from_elsewhere().text() == std::string(machine.nodename) + ":7");
  CHECK(address{"10.0.0.1", 7}.from_elsewhere().text() == "10.0.0.1:7");
}
