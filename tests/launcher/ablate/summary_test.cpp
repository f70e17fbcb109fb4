#include "launcher/ablate/report.hpp"
#include "launcher/ablate/summary.hpp"
#include "launcher/ablate/tables.hpp"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include <cmath>
#include <sstream>

using namespace troupe;
using namespace troupe::ablate;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;

namespace {

cell cell_of(const std::string& router, const std::string& seed) {
  cell made;
  made.name = router + ", seed=" + seed;
  made.group = router;
  made.repeats = router;
  made.what.labels = {{"router", router}, {"seed", seed}};
  made.hash = std::string(64, 'a');
  return made;
}

outcome outcome_of(double accuracy, double loss) {
  cell_result result;
  result.measures = {{"accuracy", accuracy, {}}, {"loss_switch", loss, 1.0}};
  result.digest = "d";
  result.steps = 12;
  return {result, ""};
}

/// Two groups of three and two cells, of which one has failed and one has not run.
ablation example() {
  ablation all{"routers", "v1", {}, {}, {}};
  for (const auto* seed : {"0", "1", "2"}) all.cells.push_back(cell_of("switch", seed));
  for (const auto* seed : {"0", "1"}) all.cells.push_back(cell_of("a \"b\", c", seed));
  all.outcomes = {
    outcome_of(0.25, 1), outcome_of(0.5, 1.5), outcome_of(0.75, 2.75), {{}, "no, <b>"}, {{}, ""}};
  return all;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

} // namespace

TEST_CASE("mean and sample standard deviation are those of Python's statistics module", "[unit]") {
  // statistics.mean, statistics.stdev of the same numbers.
  const auto many = statistic_of(std::vector{0.8431, 0.8519, 0.8377, 0.8602});
  CHECK(many.count == 4);
  CHECK(many.mean == Approx(0.848225).epsilon(1e-14));
  CHECK(many.deviation == Approx(0.009898611013672566).epsilon(1e-12));
  const auto pair = statistic_of(std::vector{1.0, 3.0});
  CHECK(pair.mean == 2);
  CHECK(pair.deviation == Approx(std::sqrt(2.0)));
}

TEST_CASE("one value has no spread, and what is no number does not count", "[unit]") {
  const auto one = statistic_of(std::vector<double>{std::nan(""), 4.0, INFINITY});
  CHECK(one.count == 1);
  CHECK(one.mean == 4);
  CHECK(std::isnan(one.deviation));
  CHECK(std::isnan(statistic_of({}).mean));
}

TEST_CASE("cells that differ in their seed are one group, over those that finished", "[unit]") {
  const auto all = example();
  const auto groups = groups_of(all.cells, all.outcomes);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].name == "switch");
  CHECK(groups[0].cells == std::vector<std::size_t>{0, 1, 2});
  CHECK(groups[0].labels == std::vector<std::pair<std::string, std::string>>{{"router", "switch"}});
  CHECK(groups[0].finished == 3);
  CHECK(groups[0].find("accuracy")->over_seeds.mean == 0.5);
  CHECK(groups[0].find("accuracy")->over_seeds.deviation == 0.25);
  CHECK(groups[0].find("loss_switch")->at_balance == 1.0);
  CHECK(groups[1].cells == std::vector<std::size_t>{3, 4});
  CHECK(groups[1].finished == 0);
  CHECK(groups[1].find("accuracy") == nullptr);
}

TEST_CASE("the tables of cells and groups are CSV with quotes where they are needed", "[unit]") {
  const auto cells = lines_of(cells_csv(example()));
  REQUIRE(cells.size() == 6);
  CHECK(cells[0]
        == "cell,router,seed,state,accuracy,loss_switch,loss_switch_at_balance,train_steps,digest,"
           "configuration,error");
  CHECK(cells[2] == "\"switch, seed=1\",switch,1,finished,0.5,1.5,1,12,d," + std::string(64, 'a') + ",");
  CHECK(cells[4]
        == "\"a \"\"b\"\", c, seed=0\",\"a \"\"b\"\", c\",0,failed,,,,,," + std::string(64, 'a')
             + ",\"no, <b>\"");
  CHECK(cells[5]
        == "\"a \"\"b\"\", c, seed=1\",\"a \"\"b\"\", c\",1,not run,,,,,," + std::string(64, 'a') + ",");
  const auto groups = lines_of(groups_csv(example()));
  REQUIRE(groups.size() == 3);
  CHECK(
    groups[0]
    == "group,router,cells,finished,accuracy_mean,accuracy_deviation,loss_switch_mean,loss_switch_deviation,"
       "loss_switch_at_balance");
  CHECK_THAT(groups[1], ContainsSubstring("switch,switch,3,3,0.5,0.25,1.75,0.90")); // sqrt(1.625 / 2) =
                                                                                    // 0.9014
  CHECK(groups[2] == "\"a \"\"b\"\", c\",\"a \"\"b\"\", c\",2,0,,,,,");
}

TEST_CASE("refused combinations are rows of the cells, and said to people by group", "[unit]") {
  auto all = example();
  for (const auto* seed : {"0", "1"}) {
    refused_cell none{"hash, seed=" + std::string(seed), "hash", {}, "--x: got 1, limit 0"};
    none.what.labels = {{"router", "hash"}, {"seed", seed}};
    all.refused.push_back(none);
  }
  all.refused.push_back({"task", "task", {{{"router", "task"}}, {}}, "other"});
  const auto cells = lines_of(cells_csv(all));
  REQUIRE(cells.size() == 9);
  CHECK(cells[7] == "\"hash, seed=1\",hash,1,refused,,,,,,,\"--x: got 1, limit 0\"");
  CHECK(cells[8] == "task,task,,refused,,,,,,,other");
  CHECK(lines_of(groups_csv(all)).size() == 3);
  CHECK(refused_text(all.refused, 9)
        == "3 combinations left out, which no run can have:\n  hash: --x: got 1, limit 0\n  task: other\n");
  CHECK_THAT(refused_text(all.refused, 1), ContainsSubstring("  ... and 1 more, in cells.csv"));
  CHECK(refused_text({}, 9).empty());
  const auto parsed = nlohmann::json::parse(report_data(all));
  CHECK(parsed["refused"][1]["name"] == "hash, seed=1");
  CHECK(parsed["refused"][2]["reason"] == "other");
}

TEST_CASE("warnings of cells are one line, the report has all", "[unit]") {
  auto all = example();
  CHECK(warnings_text(all).empty());
  all.outcomes[1].result->warnings = {"expert 3 is idle", "and more"};
  all.outcomes[2].result->warnings = {"expert 1 is idle"};
  CHECK(warnings_text(all)
        == "2 of 5 cells warned, the first switch, seed=1: expert 3 is idle; see the report");
}

TEST_CASE("the table for people is Markdown", "[unit]") {
  const auto lines = lines_of(groups_table(example()));
  REQUIRE(lines.size() == 4);
  CHECK_THAT(lines[0], ContainsSubstring("| group") && ContainsSubstring("| accuracy"));
  CHECK_THAT(lines[2], ContainsSubstring("| switch") && ContainsSubstring("3/3")
                         && ContainsSubstring("0.5000 ± 0.2500")
                         && ContainsSubstring("switch 1.750 ± 0.901 (1)"));
}

TEST_CASE("the page holds the data and nothing that could end its script early", "[unit]") {
  auto all = example();
  all.cells[0].name = "</script><script>alert(1)</script>";
  const auto data = report_data(all);
  CHECK(data.find('<') == std::string::npos);
  const auto parsed = nlohmann::json::parse(data);
  CHECK(parsed["cells"][0]["name"] == "</script><script>alert(1)</script>");
  CHECK(parsed["cells"][3]["error"] == "no, <b>");
  CHECK(parsed["groups"][0]["measures"]["accuracy"]["mean"] == 0.5);
  const auto page = html_report(all);
  CHECK(page.find("{{") == std::string::npos);
  CHECK_THAT(page, ContainsSubstring(data));
  CHECK(html_report(all) == page);
}
