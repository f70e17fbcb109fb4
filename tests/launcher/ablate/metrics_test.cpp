#include "launcher/ablate/metrics.hpp"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <numbers>
#include <sstream>

using namespace troupe;
using namespace troupe::ablate;
using Catch::Approx;

namespace {

/// A training step of six with one layer of two experts.
std::string step(int number, int first, int second, double aux, double dropped) {
  std::ostringstream line;
  line << R"({"event":"step","step":)" << number << R"(,"of":6,"expert_rows":[[)" << first << "," << second
       << R"(]],"layers":[{"expert_rows":[)" << first << "," << second << R"(],"dropped":)" << dropped
       << R"(,"router_entropy_nats":0.5,"losses":{"switch":{"value":)" << aux << R"(,"at_balance":1}}}]})"
       << "\n";
  return line.str();
}

const std::string evaluation =
  R"({"event":"evaluation","accuracy":0.75,"loss":0.5,"rows":4,"expert_rows":[[3,1]],"expert_class":[[2,1],[0,1]]})"
  "\n";

expected<cell_result> condensed(const std::string& lines) {
  std::istringstream stream(lines);
  return condense(stream);
}

} // namespace

TEST_CASE("the measures are those of the last third of the steps and of the last evaluation", "[unit]") {
  const auto result = condensed(
    R"({"event":"evaluation","accuracy":0.1,"loss":9,"rows":4,"expert_rows":[[4,0]]})" + std::string("\n")
    + step(1, 9, 0, 9, 0.9) + step(2, 9, 0, 9, 0.9) + step(3, 9, 0, 9, 0.9) + step(4, 9, 0, 9, 0.9)
    + step(5, 4, 2, 1.25, 0) + step(6, 5, 1, 1.75, 0.5) + evaluation);
  REQUIRE(result);
  CHECK(result->steps == 6);
  CHECK(result->experts == 2);
  CHECK(result->find("accuracy")->value == 0.75);
  CHECK(result->find("test_loss")->value == 0.5);
  CHECK(result->find("load_max_over_mean")->value == 1.5); // 9 and 3 rows
  CHECK(result->find("load_max_over_mean")->at_balance == 1.0);
  // −(¾ ln ¾ + ¼ ln ¼)
  CHECK(result->find("load_entropy_nats")->value == Approx(0.5623351446188083).epsilon(1e-14));
  CHECK(*result->find("load_entropy_nats")->at_balance == Approx(std::numbers::ln2));
  CHECK(result->find("dead_experts")->value == 0);
  CHECK(result->find("dropped_share")->value == 0.25);
  CHECK(result->find("router_entropy_nats")->value == 0.5);
  CHECK(result->find("loss_switch")->value == 1.5);
  CHECK(result->find("loss_switch")->at_balance == 1.0);
  CHECK(result->expert_class == std::vector<std::vector<std::uint64_t>>{{2, 1}, {0, 1}});
  CHECK(result->load.steps == std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6});
  CHECK(result->load.rows[4] == std::vector<std::uint64_t>{4, 2});
}

TEST_CASE("a long run becomes a curve of few points that holds every row", "[unit]") {
  std::string lines;
  for (int at = 1; at <= 1000; ++at)
    lines += R"({"event":"step","step":)" + std::to_string(at) + R"(,"of":1000,"expert_rows":[[3,0]]})"
             + "\n";
  const auto result = condensed(lines + evaluation);
  REQUIRE(result);
  CHECK(result->load.steps.size() == 60);
  CHECK(result->load.steps.back() == 1000);
  std::uint64_t rows = 0;
  for (const auto& span : result->load.rows) rows += span[0] + span[1];
  CHECK(rows == 3000);
  CHECK(result->find("dead_experts")->value == 1);
  CHECK(result->find("load_max_over_mean")->value == 2);
  CHECK(result->find("loss_switch") == nullptr);
}

TEST_CASE("a loss that is no number stays one, and comes back from its file", "[unit]") {
  const auto result = condensed(
    R"({"event":"step","step":1,"of":1,"expert_rows":[[1,1]],"layers":[{"losses":{"switch":{"value":null,"at_balance":1.0}}}]})"
    "\n"
    + evaluation);
  REQUIRE(result);
  CHECK(std::isnan(result->find("loss_switch")->value));
  const auto again = result_from_json(to_json(*result));
  REQUIRE(again);
  CHECK(std::isnan(again->find("loss_switch")->value));
  CHECK(again->find("loss_switch")->at_balance == 1.0);
}

TEST_CASE("metrics without steps or evaluation, and damaged ones, are refused", "[unit]") {
  CHECK_FALSE(condensed(""));
  CHECK_FALSE(condensed(evaluation));
  CHECK_FALSE(condensed(step(1, 1, 1, 1, 0)));
  CHECK_FALSE(condensed(step(1, 1, 1, 1, 0) + "{\"event\":\"st"));
  CHECK_FALSE(condensed(R"({"event":"step","step":1,"of":1,"expert_rows":"many"})"
                        "\n"
                        + evaluation));
}
