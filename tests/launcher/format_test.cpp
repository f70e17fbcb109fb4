#include "launcher/format.hpp"

#include <catch2/catch_test_macros.hpp>

#include <limits>

using namespace troupe::launcher;

TEST_CASE("a step is one line", "[unit]") {
  step_event step;
  step.step = 100;
  step.loss = 0.48213;
  step.aux = 1.03118;
  step.learning_rate = 1e-3;
  step.samples_per_second = 81234;
  CHECK(step_line(step, "switch")
        == "Step 100 | Loss: 0.4821 | Aux Loss: 1.0312 | LR: 1.00e-03 | 81.2k samples/s");
  CHECK(step_line(step, "variance")
        == "Step 100 | Loss: 0.4821 | Aux Loss (variance): 1.0312 | LR: 1.00e-03 | 81.2k samples/s");
  step.samples_per_second = std::numeric_limits<double>::quiet_NaN(); // one step has none
  CHECK(step_line(step, "switch") == "Step 100 | Loss: 0.4821 | Aux Loss: 1.0312 | LR: 1.00e-03");
  step.samples_per_second = 81234;
  step.aux.reset();
  CHECK(step_line(step, "") == "Step 100 | Loss: 0.4821 | LR: 1.00e-03 | 81.2k samples/s");
  step.loss = std::numeric_limits<double>::quiet_NaN();
  CHECK(step_line(step, "").starts_with("Step 100 | Loss: nan | "));
}

TEST_CASE("every measured loss is told with its value at balance, and none that is not", "[unit]") {
  step_event step;
  CHECK(losses_line(step) == "");
  step.losses["z"] = {1.94118, 1.921812}; // (ln 4)²
  step.losses["switch"] = {1.03118, 1};
  CHECK(losses_line(step)
        == "Router losses of the last step: switch 1.0312 (1 at balance), z 1.9412 (1.922 at balance)");
}

TEST_CASE("a test says after which epoch, from 1, or at which step of one", "[unit]") {
  const auto line = [](std::uint64_t epochs_trained, std::uint64_t steps, std::uint64_t steps_per_epoch) {
    return evaluation_line({0.84312, 0.44321, 10000, epochs_trained, {}}, steps, steps_per_epoch);
  };
  CHECK(line(1, 469, 469) == "Epoch 1 | Test accuracy: 0.8431 | Test loss: 0.4432 | 10,000 rows");
  CHECK(line(2, 938, 469).starts_with("Epoch 2 | "));
  CHECK(line(2, 900, 469).starts_with("Epoch 2 | ")); // not every step is told before the test
  CHECK(line(0, 3, 469).starts_with("Epoch 1 (step 3 of 469) | "));
  CHECK(line(1, 500, 469).starts_with("Epoch 2 (step 31 of 469) | "));
  CHECK(line(1, 0, 0).starts_with("Epoch 1 | "));
}

TEST_CASE("numbers are short", "[unit]") {
  CHECK(short_count(0) == "0");
  CHECK(short_count(950) == "950");
  CHECK(short_count(999.6) == "1.0k");
  CHECK(short_count(81234) == "81.2k");
  CHECK(short_count(999960) == "1.00M");
  CHECK(short_count(1234567) == "1.23M");
  CHECK(grouped_count(0) == "0");
  CHECK(grouped_count(999) == "999");
  CHECK(grouped_count(60000) == "60,000");
  CHECK(grouped_count(1234567) == "1,234,567");
  CHECK(counted(0, "cell") == "0 cells");
  CHECK(counted(1, "cell") == "1 cell");
  CHECK(counted(2000, "cell") == "2,000 cells");
  CHECK(byte_count(512) == "512 B");
  CHECK(byte_count(3565158) == "3.4 MiB");
  CHECK(duration(42.4) == "42s");
  CHECK(duration(192) == "3m12s");
  CHECK(duration(3700) == "1h01m");
  CHECK(duration(-1) == "?");
}

TEST_CASE("a bar is as long as its share, in eighths where it can", "[unit]") {
  CHECK(bar(0.5, 4, false) == "##..");
  CHECK(bar(2, 4, false) == "####");
  CHECK(bar(-1, 4, false) == "....");
  CHECK(bar(std::numeric_limits<double>::quiet_NaN(), 2, false) == "..");
  CHECK(bar(0.5, 4, true) == "██  ");
  CHECK(bar(1.0 / 16, 2, true) == "▏ ");
  for (int eighth = 0; eighth <= 80; ++eighth) CHECK(columns_of(bar(eighth / 80.0, 10, true)) == 10);
}

TEST_CASE("text is cut by columns, not by bytes", "[unit]") {
  CHECK(cut_to("ab█cd", 3) == "ab█");
  CHECK(cut_to("ab█cd", 5) == "ab█cd");
  CHECK(cut_to("ab", 0) == "");
}

TEST_CASE("the table of loads shows rows, share and balance", "[unit]") {
  const auto lines = load_table({{30, 10, 0, 0}}, false);
  REQUIRE(lines.size() == 6);
  CHECK(lines[1] == "       0            30   75.0%  ##############################");
  CHECK(lines[2] == "       1            10   25.0%  ##########....................");
  CHECK(lines[5] == "     all            40  fullest 3.00 times the mean, 2 without a row"); // 30 / (40 / 4)
  CHECK(load_table({{0, 0}}, false).back()
        == "     all             0  fullest 0.00 times the mean, 2 without a row");
  CHECK(load_table({}, false).empty());
}

TEST_CASE("the live display fits every width", "[unit]") {
  step_event step;
  step.step = 100;
  step.of = 400;
  step.loss = 0.5;
  step.expert_rows = {{1, 2, 3, 4}};
  const auto wide = live_lines(step, {400, 200, {}}, 65, 120, true);
  REQUIRE(wide.size() == 2);
  CHECK(wide[0].starts_with(" 25% |██████████ "));
  CHECK(wide[0].ends_with("|  100/400  epoch 1  loss 0.5000  1m05s left"));
  CHECK(wide[1].starts_with("load  0 "));
  CHECK(wide[1].ends_with("max/mean 1.60")); // 4 / 2.5
  step.expert_rows = {std::vector<std::uint64_t>(64, 5), std::vector<std::uint64_t>(64, 0)};
  for (std::size_t columns = 1; columns < 200; ++columns)
    CHECK(live_lines(step, {}, -1, columns, true).size() == 3);
}

TEST_CASE("a narrow display leaves out whole fields, the least important first", "[unit]") {
  step_event step;
  step.step = 100;
  step.of = 400;
  step.loss = 0.5;
  step.samples_per_second = 96200;
  step.expert_rows = {std::vector<std::uint64_t>(16, 5)};
  const auto lines = [&](std::size_t columns) {
    return live_lines(step, {400, 200, {}}, 65, columns, false);
  };
  const auto line = [&](std::size_t columns) { return lines(columns).front(); };
  CHECK(line(71) == " 25% |#...|  100/400  epoch 1  loss 0.5000  96.2k samples/s  1m05s left");
  CHECK(line(70) == " 25% |###.........|  100/400  loss 0.5000  96.2k samples/s  1m05s left");
  CHECK(line(60) == " 25% |####..........|  100/400  loss 0.5000  96.2k samples/s");
  CHECK(line(39) == " 25% |###.......|  100/400  loss 0.5000");
  CHECK(line(30) == " 25% |####..........|  100/400");
  CHECK(line(12) == " 25% |#....|");
  CHECK(line(5) == " 25% ");
  for (std::size_t columns = 5; columns < 200; ++columns) CHECK(line(columns).size() <= columns);
  CHECK(lines(37)[1] == "load  8888888888888888  max/mean 1.00"); // 6 + 16 + 15 columns
  CHECK(lines(36)[1] == "load  8888888888888888");
}
