#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <map>
#include <sstream>

using namespace troupe::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

namespace fs = std::filesystem;

/// Two routers, two sizes, two seeds.
const std::string eight_cells =
  "data = 'gaussian'\ngaussian-rows = 512\nmax-steps = 6\n"
  "[vary]\nrouter = ['softmax', 'sigmoid_bias']\nnum-experts = [4, 6]\nseed = [1, 2]\n";

std::vector<std::string> ablate(const std::string& matrix, const std::string& out,
                                std::vector<std::string> more = {}) {
  std::vector<std::string> command{program("troupe"), "ablate", matrix, "--out", out};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

finished_process run_ablation(const std::string& matrix, const std::string& out,
                              std::vector<std::string> more = {}) {
  return run(ablate(matrix, out, std::move(more)), 120s);
}

/// Rows of a CSV file without quoted fields that matter here: by column name.
std::vector<std::map<std::string, std::string>> read_csv(const std::string& path) {
  const auto fields_of = [](const std::string& line) {
    std::vector<std::string> fields(1);
    bool quoted = false;
    for (const char c : line) {
      if (c == '"')
        quoted = !quoted;
      else if (c == ',' && !quoted)
        fields.emplace_back();
      else
        fields.back() += c;
    }
    return fields;
  };
  std::istringstream file(read_file(path));
  std::string line;
  std::getline(file, line);
  const auto header = fields_of(line);
  std::vector<std::map<std::string, std::string>> rows;
  while (std::getline(file, line)) {
    const auto fields = fields_of(line);
    REQUIRE(fields.size() == header.size());
    auto& row = rows.emplace_back();
    for (std::size_t at = 0; at < header.size(); ++at)
      if (header[at] != "seconds" && header[at] != "samples_per_second") row[header[at]] = fields[at];
  }
  return rows;
}

std::map<std::string, fs::file_time_type> results_in(const std::string& out) {
  std::map<std::string, fs::file_time_type> files;
  for (const auto& entry : fs::directory_iterator(out + "/cells"))
    if (entry.path().extension() == ".json") files[entry.path().filename()] = entry.last_write_time();
  return files;
}

std::size_t lines_in(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

} // namespace

TEST_CASE("an ablation trains every cell as a run of its own would", "[process]") {
  temporary_directory place;
  const auto done = run_ablation(place.write("m.toml", eight_cells), place / "out");
  INFO(done.output << done.errors);
  REQUIRE(done.status == exit_status{0, 0});
  const auto cells = read_csv(place / "out/cells.csv");
  REQUIRE(cells.size() == 8);
  CHECK(cells.back().at("router") == "sigmoid_bias");
  CHECK(cells.back().at("num-experts") == "6");
  CHECK(cells.back().at("seed") == "2");
  CHECK(cells.back().at("state") == "finished");
  CHECK(cells.back().at("train_steps") == "6");
  CHECK(cells.back().at("digest")
        == digest_of_run({program("troupe"), "train", "--data", "gaussian", "--gaussian-rows", "512",
                          "--max-steps", "6", "--router", "sigmoid_bias", "--num-experts", "6", "--seed", "2",
                          "--print-digest"}));
  const auto groups = read_csv(place / "out/groups.csv");
  REQUIRE(groups.size() == 4);
  const auto accuracy = [&](std::size_t cell) { return std::stod(cells[cell].at("accuracy")); };
  CHECK(std::abs(std::stod(groups[0].at("accuracy_mean")) - (accuracy(0) + accuracy(1)) / 2) < 1e-12);
  CHECK(std::abs(std::stod(groups[0].at("accuracy_deviation"))
                 - std::abs(accuracy(0) - accuracy(1)) / std::sqrt(2))
        < 1e-12);
  CHECK_THAT(done.output, ContainsSubstring("[8/8]") && ContainsSubstring("| router=softmax, num-experts=4"));
  CHECK_THAT(read_file(place / "out/report.html"), StartsWith("<!doctype html>"));
  CHECK(results_in(place / "out").size() == 8);
  for (const auto& entry : fs::directory_iterator(place / "out/cells"))
    CHECK(entry.path().extension() == ".json");
}

TEST_CASE("an ablation that was killed goes on where it stopped, to the same numbers", "[process]") {
  temporary_directory place;
  const auto matrix = place.write("m.toml", eight_cells);
  {
    auto first = process::start(ablate(matrix, place / "out", {"--jobs", "1"}));
    REQUIRE(first.wait_for_output("[2/8]", 60s));
    first.send(SIGKILL);
    REQUIRE(first.wait(10s));
  }
  const auto kept = results_in(place / "out");
  REQUIRE(kept.size() >= 2);
  const auto second = run_ablation(matrix, place / "out");
  INFO(second.output << second.errors);
  REQUIRE(second.status == exit_status{0, 0});
  CHECK_THAT(second.output, StartsWith("8 cells, " + std::to_string(kept.size()) + " finished earlier"));
  const auto all = results_in(place / "out");
  for (const auto& [name, time] : kept) CHECK(all.at(name) == time);
  const auto whole = run_ablation(matrix, place / "whole", {"--jobs", "3"});
  REQUIRE(whole.status == exit_status{0, 0});
  CHECK(read_csv(place / "out/cells.csv") == read_csv(place / "whole/cells.csv"));
}

TEST_CASE("Ctrl-C ends an ablation, keeps what has finished and writes the report", "[process]") {
  temporary_directory place;
  const auto matrix = place.write("m.toml",
                                  "data = 'gaussian'\n[vary]\nmax-steps = [5, 1000000]\nseed = [0, 1]\n");
  auto run = process::start(ablate(matrix, place / "out", {"--jobs", "2"}));
  REQUIRE(run.wait_for_output("[2/4]", 60s));
  REQUIRE(wait_until([&] { return children_of(run.pid()).size() == 2; }, 30s));
  const auto cells = children_of(run.pid());
  run.send_to_group(SIGINT);
  const auto end = run.wait(10s);
  INFO(run.output() << run.errors());
  REQUIRE(end);
  CHECK(*end == exit_status{130, 0});
  CHECK_THAT(run.errors(), ContainsSubstring("interrupted with 2 of 4 cells finished"));
  for (const auto cell : cells) CHECK_FALSE(is_running(cell));
  const auto rows = read_csv(place / "out/cells.csv");
  CHECK(rows[1].at("state") == "finished");
  CHECK(rows[2].at("state") == "not run");
  CHECK(fs::exists(place / "out/report.html"));
}

TEST_CASE("a cell that fails leaves its error in the report, and the others go on", "[process]") {
  temporary_directory place;
  const auto matrix = place.write("m.toml", "max-steps = 5\n[vary]\n"
                                            "data = ['gaussian', { data = 'fashion-mnist', data-dir = '"
                                              + place.path()
                                              + "', label = 'fashion-mnist' }]\nseed = [0, 1]\n");
  const auto done = run_ablation(matrix, place / "out");
  INFO(done.output << done.errors);
  CHECK(done.status == exit_status{1, 0});
  CHECK_THAT(done.errors, ContainsSubstring("cell data fashion-mnist, seed=0 failed: ")
                            && ContainsSubstring("dataset-fashion-mnist")
                            && ContainsSubstring("error: [ablate] 2 of 4 cells failed"));
  CHECK(lines_in(done.errors) == 3);
  const auto rows = read_csv(place / "out/cells.csv");
  CHECK(rows[1].at("state") == "finished");
  CHECK(rows[2].at("state") == "failed");
  CHECK_THAT(rows[2].at("error"), ContainsSubstring("dataset-fashion-mnist"));
  CHECK_THAT(read_file(place / "out/report.html"), ContainsSubstring("dataset-fashion-mnist"));
  CHECK(results_in(place / "out").size() == 2);
}

TEST_CASE("combinations that no run can have are told and left out, and warnings are counted", "[process]") {
  temporary_directory place;
  const auto matrix = place.write(
    "m.toml", "data = 'gaussian'\ngaussian-rows = 512\nmax-steps = 5\nepochs = 2\n[vary]\n"
              "router = ['softmax', 'switch']\nnum-experts-per-token = [1, 2]\nseed = [0, 1]\n");
  const auto done = run_ablation(matrix, place / "out");
  INFO(done.output << done.errors);
  CHECK(done.status == exit_status{0, 0});
  CHECK_THAT(done.output,
             StartsWith("4 combinations left out, which no run can have:\n"
                        "  router=softmax, num-experts-per-token=1: --num-experts-per-token: got 1")
               && ContainsSubstring("\n4 cells, 0 finished earlier") && ContainsSubstring("[4/4]"));
  CHECK_THAT(done.errors, StartsWith("troupe: warning: 4 of 4 cells warned, the first ")
                            && ContainsSubstring("--epochs 2 changes nothing with --max-steps 5"));
  CHECK(lines_in(done.errors) == 1);
  const auto rows = read_csv(place / "out/cells.csv");
  REQUIRE(rows.size() == 8);
  CHECK(rows[3].at("state") == "finished");
  CHECK(rows[4].at("state") == "refused");
  CHECK_THAT(rows[4].at("error"), ContainsSubstring("could not train the router"));
  CHECK_THAT(read_file(place / "out/report.html"), ContainsSubstring("could not train the router"));
}

TEST_CASE("a cell whose process dies is a failed cell with the last words", "[process]") {
  temporary_directory place;
  const auto matrix = place.write("m.toml", "data = 'gaussian'\n[vary]\nmax-steps = [5, 1000000]\n");
  auto run = process::start(ablate(matrix, place / "out", {"--jobs", "2"}));
  REQUIRE(run.wait_for_output("[1/2]", 60s));
  const auto rest = children_of(run.pid());
  REQUIRE(rest.size() == 1);
  ::kill(rest.front(), SIGKILL);
  const auto end = run.wait(20s);
  INFO(run.output() << run.errors());
  REQUIRE(end);
  CHECK(*end == exit_status{1, 0});
  CHECK_THAT(run.errors(), ContainsSubstring("cell max-steps 1000000 failed: [cell] process ")
                             && ContainsSubstring("killed by signal 9"));
}

TEST_CASE("an ablation that cannot be started says why in one line", "[process]") {
  struct row {
    std::string toml;
    std::vector<std::string> more;
    int code;
    std::string named;
  };
  const auto [toml, more, code, named] = GENERATE(values<row>({
    {"learning-speed = 3\n", {}, 2, ":1]"},
    {"data = 'gaussian'\nseed = = 3\n", {}, 2, ":2] malformed TOML"},
    {"[vary]\nseed = 3\n", {}, 2, "seed"},
    {"[vary]\nlr = [0.1, 'fast']\n", {}, 2, "'fast'"},
    {"[vary]\nnum-experts-per-token = [2, 9]\n", {}, 2, "cell num-experts-per-token 9"},
    {"nodes = 3\n", {}, 2, "nodes"},
    {"data = 'gaussian'\n", {"--jobs", "two"}, 2, "--jobs"},
    {"data = 'gaussian'\n", {"--out", "/proc/x"}, 1, "/proc/x"},
    {"data = 'gaussian'\n", {"--node-program", "/no/program"}, 1, "/no/program"},
  }));
  CAPTURE(toml, more);
  temporary_directory place;
  const auto done = run_ablation(place.write("m.toml", toml), place / "out", more);
  CHECK(done.status == exit_status{code, 0});
  CHECK_THAT(done.errors, StartsWith("troupe: error: ") && ContainsSubstring(named));
  CHECK(lines_in(done.errors) == 1);
}

TEST_CASE("a terminal shows how far an ablation is, and is left in order", "[process]") {
  temporary_directory place;
  process_options options;
  options.terminal = true;
  options.environment = {{"TERM", "xterm"}};
  const auto done = run(ablate(place.write("m.toml", eight_cells), place / "out"), 120s, options);
  CHECK(done.status == exit_status{0, 0});
  CHECK_THAT(done.output, ContainsSubstring("% |") && ContainsSubstring("0 of 8 cells")
                            && ContainsSubstring("router=softmax, num-experts=4, seed=1  starting"));
  CHECK_THAT(done.output, ContainsSubstring("[8/8] router="));
  CHECK(done.output.rfind("\x1b[?25h") > done.output.rfind("\x1b[?25l")); // the cursor is back
}

TEST_CASE("two ablations do not share a folder", "[process]") {
  temporary_directory place;
  const auto matrix = place.write("m.toml", "data = 'gaussian'\nmax-steps = 1000000\n");
  auto first = process::start(ablate(matrix, place / "out"));
  REQUIRE(first.wait_for_output("at a time", 30s));
  const auto second = run_ablation(matrix, place / "out");
  CHECK(second.status == exit_status{1, 0});
  CHECK_THAT(second.errors, ContainsSubstring("another `troupe ablate` works there"));
}

TEST_CASE("the cells of a matrix can be listed without running them", "[process]") {
  temporary_directory place;
  const auto done = run_ablation(place.write("m.toml", eight_cells), place / "out", {"--list"});
  CHECK(done.status == exit_status{0, 0});
  CHECK(lines_in(done.output) == 9);
  CHECK_THAT(done.output,
             ContainsSubstring("router=sigmoid_bias, num-experts=6, seed=2") && ContainsSubstring("8 cells"));
  CHECK_FALSE(fs::exists(place / "out"));
}
