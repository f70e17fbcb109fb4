#include "launcher/status_table.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace troupe::launcher;

TEST_CASE("ids are shown as ranges", "[unit]") {
  CHECK(id_ranges({}) == "");
  CHECK(id_ranges({5}) == "5");
  CHECK(id_ranges({2, 0, 1, 5}) == "0-2, 5");
  CHECK(id_ranges({1, 3, 5}) == "1, 3, 5");
}

TEST_CASE("a status becomes a line and a table", "[unit]") {
  const auto table = status_table(
    R"({"run_id":"r1","step":120,"of":469,"epoch":0,"samples_per_second":81234.0,
    "bytes_sent":3565158,"nodes":[
      {"node":0,"name":"head","state":"joined","process":11,"experts":[]},
      {"node":1,"name":"node-1","state":"draining","process":12,"experts":[0,1,2],"rows_per_second":5000,"bytes_sent":2048}]})");
  REQUIRE(table);
  CHECK(*table
        == "Run r1 | step 120 of 469 | epoch 1 | 81.2k samples/s | 3.4 MiB sent\n"
           "Node  Name    State     Process  Experts  Rows/s  Sent     Received\n"
           "0     head    joined    11       none     -       -        -\n"
           "1     node-1  draining  12       0-2      5.0k    2.0 KiB  -\n");
}

TEST_CASE("what is no status is refused", "[unit]") {
  CHECK_FALSE(status_table("connection refused"));
  CHECK_FALSE(status_table("[]"));
  CHECK(status_table("{}"));
}
