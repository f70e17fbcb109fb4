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
    "bytes_sent":3565158,"loss":0.48213,"nodes":[
      {"node":0,"name":"head","state":"active","compute_threads":1,"experts":[]},
      {"node":1,"name":"node-1","state":"draining","experts":[0,1,2],"rows_per_second":5000,"bytes_sent":2048}]})");
  REQUIRE(table);
  CHECK(*table
        == "Run r1 | step 120 of 469 | epoch 1 | loss 0.4821 | 81.2k samples/s | 3.4 MiB sent per step\n"
           "Node  Name    State     Threads  Experts  Rows/s  Sent\n"
           "0     head    active    1        none     -       -\n"
           "1     node-1  draining  -        0-2      5.0k    2.0 KiB\n");
}

TEST_CASE("what is no status is refused", "[unit]") {
  CHECK_FALSE(status_table("connection refused"));
  CHECK_FALSE(status_table("[]"));
  CHECK(status_table("{}"));
}
