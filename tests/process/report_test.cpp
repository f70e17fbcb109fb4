#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <regex>

using namespace troupe::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

/// What headless Chromium makes of a page.
struct visit {
  std::string document; ///< the DOM after the scripts ran
  std::string console;  ///< console lines
  std::vector<std::string> requested;
};

visit open_in_browser(const temporary_directory& place, const std::string& page) {
  const auto log = place / "net.json";
  // Without a sandbox of its own, which needs privileges that containers lack; without services that call
  // home.
  const auto done = run({TROUPE_CHROMIUM, "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                         "--user-data-dir=" + (place / "profile"), "--window-size=1200,2400",
                         "--virtual-time-budget=3000", "--enable-logging=stderr", "--log-net-log=" + log,
                         "--dump-dom", "file://" + page},
                        60s);
  INFO(done.errors);
  REQUIRE(done.status.success());
  visit result;
  result.document = done.output;
  std::istringstream lines(done.errors);
  for (std::string line; std::getline(lines, line);)
    if (line.find("CONSOLE") != std::string::npos) result.console += line + "\n";
  const auto text = read_file(log);
  const std::regex url("\"url\":\"([^\"]*)\"");
  for (std::sregex_iterator at(text.begin(), text.end(), url), end; at != end; ++at)
    result.requested.push_back((*at)[1]);
  return result;
}

std::size_t count(const std::string& text, const std::string& pattern) {
  const std::regex wanted(pattern);
  return static_cast<std::size_t>(std::distance(std::sregex_iterator(text.begin(), text.end(), wanted), {}));
}

/// From the element with that id to the end of its section.
std::string part_of(const std::string& document, const std::string& id) {
  const auto begin = document.find("id=\"" + id + "\"");
  REQUIRE(begin != std::string::npos);
  return document.substr(begin,
                         std::min(document.find("</section>", begin), document.find("<h3", begin)) - begin);
}

std::string report_of(const temporary_directory& place, const std::string& matrix, int code) {
  const auto done = run({program("troupe"), "ablate", place.write("m.toml", matrix), "--out", place / "out"},
                        120s);
  INFO(done.output << done.errors);
  REQUIRE(done.status == exit_status{code, 0});
  return place / "out/report.html";
}

} // namespace

TEST_CASE("the report of an ablation shows table, scatter, lines and heatmap, and asks for nothing",
          "[process][browser]") {
  temporary_directory place;
  const auto page = report_of(place,
                              "data = 'gaussian'\ngaussian-rows = 512\nmax-steps = 30\nnum-experts = 5\n"
                              "[vary]\nrouter = ['softmax', 'switch', 'sigmoid_bias']\nseed = [0, 1]\n",
                              0);
  const auto seen = open_in_browser(place, page);
  INFO(seen.console);
  CHECK(seen.console.empty());
  for (const auto& url : seen.requested) CHECK_THAT(url, Catch::Matchers::StartsWith("file://"));
  CHECK_THAT(seen.document, ContainsSubstring("data-ready=\"true\"")
                              && ContainsSubstring("3 groups, 6 of 6 cells finished"));
  CHECK(count(part_of(seen.document, "results"), "<tr>") == 4); // a heading and three groups
  CHECK_THAT(part_of(seen.document, "results"),
             ContainsSubstring("sigmoid_bias") && ContainsSubstring(" ± "));
  CHECK(count(part_of(seen.document, "balance"), "<circle") == 3 + 6); // groups and cells
  CHECK(count(part_of(seen.document, "over-time"), "<path[^>]*stroke=") >= 3);
  CHECK(count(part_of(seen.document, "expert-class"), "<rect") >= 5 * 8); // experts by classes
  CHECK(count(part_of(seen.document, "expert-load"), "<path[^>]*fill=") >= 5);
  CHECK(count(part_of(seen.document, "cell"), "<option") == 6);
}

TEST_CASE("the report of an ablation without a finished cell says what failed", "[process][browser]") {
  temporary_directory place;
  const auto page = report_of(place, "data = 'fashion-mnist'\ndata-dir = '" + place.path() + "'\n", 1);
  const auto seen = open_in_browser(place, page);
  INFO(seen.console);
  CHECK(seen.console.empty());
  CHECK_THAT(seen.document, ContainsSubstring("1 group, 0 of 1 cell finished, 1 failed"));
  CHECK_THAT(part_of(seen.document, "problems"), ContainsSubstring("dataset-fashion-mnist"));
}

TEST_CASE("the report's table sorts, and takes groups out of the charts", "[process][browser]") {
  temporary_directory place;
  const auto page = report_of(place,
                              "data = 'gaussian'\ngaussian-rows = 512\nmax-steps = 6\n"
                              "[vary]\nlr = [0.002, 0.001, 0.003]\nseed = [0, 1]\n",
                              0);
  const std::string clicks = "<script>document.querySelector('.swatch').click();"
                             "document.querySelector('#results th button').click()</script>";
  const auto seen = open_in_browser(place, place.write("clicked.html", read_file(page) + clicks));
  INFO(seen.console);
  CHECK(seen.console.empty());
  const auto table = part_of(seen.document, "results");
  CHECK_THAT(table, ContainsSubstring("aria-sort=\"ascending\""));
  CHECK(table.find("0.001</span>") < table.find("0.002</span>")); // the file has them the other way round
  CHECK(table.find("0.002</span>") < table.find("0.003</span>"));
  CHECK(count(table, "aria-pressed=\"false\"") == 1);
  CHECK(count(part_of(seen.document, "balance"), "<circle") == 2 + 4);
}

TEST_CASE("the report's charts name groups by the axes that differ", "[process][browser]") {
  temporary_directory place;
  const auto page = report_of(place,
                              "data = 'gaussian'\ngaussian-rows = 512\nmax-steps = 6\n[vary]\n"
                              "router-choice-capacity-factor = [1, 2]\nrouter = ['expert_choice']\n"
                              "expert-activation = ['silu', 'gelu']\n",
                              0);
  const auto chart = part_of(open_in_browser(place, page).document, "balance");
  for (const auto* label : {"1 · silu", "1 · gelu", "2 · silu", "2 · gelu"})
    CHECK_THAT(chart, ContainsSubstring(">" + std::string(label) + "</text>"));
  CHECK_THAT(chart, !ContainsSubstring("expert-activation=") && !ContainsSubstring("…"));
}

TEST_CASE("what the browser's console says would be noticed", "[process][browser]") {
  temporary_directory place;
  const auto seen = open_in_browser(place,
                                    place.write("page.html", "<script>console.error('noticed')</script>"
                                                             "<img src='http://127.0.0.1:1/picture'>"));
  CHECK_THAT(seen.console, ContainsSubstring("noticed"));
  CHECK(std::ranges::find(seen.requested, "http://127.0.0.1:1/picture") != seen.requested.end());
}
