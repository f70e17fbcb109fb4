#include "model/catch_failures.hpp"

#include <catch2/catch_test_macros.hpp>

#include <new>
#include <stdexcept>

using namespace troupe;

TEST_CASE("what added parts throw becomes one line of error text", "[unit]") {
  CHECK(catch_failures("trunk", [] { return 7; }).value() == 7);
  CHECK(catch_failures("trunk", [] {}).has_value());
  CHECK(catch_failures("trunk", [] { throw std::bad_alloc{}; }).error().code == error_code::unavailable);
  CHECK(catch_failures("trunk", [] { throw std::runtime_error("odd\nends"); }).error().text
        == "[trunk] exception: odd ends");
  const auto passed_on = catch_failures("trunk",
                                        []() -> expected<int> { return fail(error_code::usage, "no"); });
  CHECK(passed_on.error().code == error_code::usage);
}

TEST_CASE("exceptions that only a library knows are translated by it", "[unit]") {
  struct odd {};
  const auto translate = [](std::string_view where) {
    return error{error_code::internal, std::string(where) + " is odd"};
  };
  CHECK(catch_failures(
          "trunk", []() -> int { throw odd{}; }, translate)
          .error()
          .text
        == "trunk is odd");
}
