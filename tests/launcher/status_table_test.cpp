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
    R"({"event":"step","step":120,"of":469,"epoch":0,"loss":0.48213,"samples_per_second":81234.0,
    "expert_rows":[[64,32,32,128]],"bytes_sent":3565158,"steps_per_second":634.6,"run_id":"r1","nodes":[
      {"node":1,"name":"node-1","place":"atlas, process 71","state":"draining","compute_threads":2,
       "experts":[0,1,2],"rows_per_second":81234.0,"bytes_in_per_second":3145728.0,"bytes_out_per_second":2048},
      {"node":2,"name":"late","place":"atlas, process 72","state":"active","compute_threads":16,
       "experts":[]}],"placement":[1,1,1,1]})");
  REQUIRE(table);
  CHECK(
    *table
    == "Run r1 | step 120 of 469 | epoch 1 | loss 0.4821 | 635 steps/s | 81.2k samples/s | 3.4 MiB sent per "
       "step\n"
       "Node  Name    State     Place              Threads  Experts  Rows/s  In/s     Out/s\n"
       "1     node-1  draining  atlas, process 71  2        0-2      81.2k   3.0 MiB  2.0 KiB\n"
       "2     late    active    atlas, process 72  16       none     -       -        -\n");
}

TEST_CASE("a rate that is not measured yet is a dash", "[unit]") {
  CHECK(
    status_table(R"({"step":1,"of":469,"epoch":0,"loss":2.5,"samples_per_second":null,"bytes_sent":2048,
    "steps_per_second":null,"run_id":"r1","nodes":[{"node":1,"name":"a","state":"active"}]})")
      .value()
    == "Run r1 | step 1 of 469 | epoch 1 | loss 2.5000 | - steps/s | - samples/s | 2.0 KiB sent per step\n"
       "Node  Name  State\n"
       "1     a     active\n");
}

TEST_CASE("a run that stands still says for how long", "[unit]") {
  CHECK(status_table(R"({"step":7,"of":469,"epoch":0,"loss":2.5,"samples_per_second":null,"bytes_sent":2048,
    "steps_per_second":null,"seconds_since_step":12.3,"run_id":"r1","nodes":[]})")
          .value()
        == "Run r1 | step 7 of 469 | epoch 1 | loss 2.5000 | no step for 12 s\n");
}

TEST_CASE("before its first step a run says what it waits for, without a table of no nodes", "[unit]") {
  const auto shown = [](const std::string& text) { return status_table(text).value(); };
  CHECK(shown(R"({"run_id":"r1","nodes_awaited":2,"nodes":[],"placement":[]})")
        == "Run r1 | waiting for 2 nodes\n");
  CHECK(shown(R"({"run_id":"r1","nodes_awaited":1,"nodes":[{"node":1,"name":"a","state":"active"}]})")
        == "Run r1 | waiting for 1 node\n"
           "Node  Name  State\n"
           "1     a     active\n");
  CHECK(shown(R"({"run_id":"r1","nodes":[{"node":1,"state":"left"}]})")
        == "Run r1 | no step yet\n"
           "Node  State\n"
           "1     left\n");
}

TEST_CASE("what is no status is refused", "[unit]") {
  CHECK_FALSE(status_table("connection refused"));
  CHECK_FALSE(status_table("[]"));
  CHECK(status_table("{}"));
}
