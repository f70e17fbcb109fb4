#include "launcher/ablate/progress.hpp"
#include "launcher/ablate/store.hpp"
#include "tests/support/process.hpp"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>

using namespace troupe;
using namespace troupe::ablate;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

cell cell_named(char digit) {
  cell made;
  made.hash = std::string(64, digit);
  return made;
}

cell_result result_for(const cell& of) {
  cell_result result;
  result.hash = of.hash;
  result.version = "v";
  result.digest = "d";
  result.steps = 3;
  result.experts = 2;
  result.measures = {{"accuracy", 0.1234567890123456789, {}}, {"loss_z", 1.5, 0.25}};
  result.load = {{2, 3}, {{4, 5}, {6, 7}}};
  result.expert_class = {{1, 2}, {3, 4}};
  result.warnings = {"w"};
  return result;
}

} // namespace

TEST_CASE("a saved result comes back as it was", "[unit]") {
  const test::temporary_directory folder;
  const auto store = result_store::open(folder / "new" + "/deep");
  REQUIRE(store);
  const auto one = cell_named('1');
  REQUIRE(store->find(one));
  CHECK_FALSE(store->find(one)->has_value());
  REQUIRE(store->save(result_for(one)));
  CHECK(**store->find(one) == result_for(one));
  CHECK_FALSE(store->find(cell_named('2'))->has_value());
}

TEST_CASE("results of another matrix are counted", "[unit]") {
  const test::temporary_directory folder;
  const auto store = result_store::open(folder.path());
  REQUIRE(store);
  CHECK(store->others_than({}) == 0);
  REQUIRE(store->save(result_for(cell_named('1'))));
  REQUIRE(store->save(result_for(cell_named('2'))));
  CHECK(store->others_than({cell_named('1'), cell_named('2'), cell_named('3')}) == 0);
  CHECK(store->others_than({cell_named('2'), cell_named('3')}) == 1);
  CHECK(store->others_than({}) == 2);
}

TEST_CASE("a damaged result is named, and so is one of another cell", "[unit]") {
  const test::temporary_directory folder;
  const auto store = result_store::open(folder.path());
  REQUIRE(store);
  const auto one = cell_named('1');
  const auto file = "cells/" + std::string(16, '1') + ".json";
  REQUIRE(store->save(result_for(one)));
  const auto whole = test::read_file(folder / file);
  for (const std::size_t kept : {std::size_t{0}, whole.size() / 2, whole.size() - 3}) {
    folder.write(file, whole.substr(0, kept));
    const auto found = store->find(one);
    REQUIRE_FALSE(found);
    CHECK_THAT(found.error().text, ContainsSubstring(std::string(16, '1') + ".json"));
  }
  auto other = result_for(one);
  other.hash[20] = '2'; // the same file name
  REQUIRE(store->save(other));
  CHECK_FALSE(store->find(one));
}

TEST_CASE("one process at a time works in a folder, and clears away what another left", "[unit]") {
  const test::temporary_directory folder;
  {
    const auto store = result_store::open(folder.path());
    REQUIRE(store);
    const auto second = result_store::open(folder.path());
    REQUIRE_FALSE(second);
    CHECK_THAT(second.error().text, ContainsSubstring("another `troupe ablate`"));
  }
  folder.write("cells/1111.metrics", "half");
  folder.write("cells/1111.json.tmp-7-1", "half");
  folder.write("cells/2222.json", "{}");
  REQUIRE(result_store::open(folder.path()));
  CHECK_FALSE(std::filesystem::exists(folder / "cells/1111.metrics"));
  CHECK_FALSE(std::filesystem::exists(folder / "cells/1111.json.tmp-7-1"));
  CHECK(std::filesystem::exists(folder / "cells/2222.json"));
}

TEST_CASE("a folder with other files is refused and left alone, an ablation's goes on beside notes",
          "[unit]") {
  const test::temporary_directory folder;
  std::filesystem::create_directories(folder / "theirs/cells");
  folder.write("theirs/cells/own.metrics", "kept");
  const auto refused = result_store::open(folder / "theirs");
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().text,
             StartsWith("--out: got " + (folder / "theirs") + ": it holds other files"));
  CHECK(test::read_file(folder / "theirs/cells/own.metrics") == "kept");
  CHECK_FALSE(std::filesystem::exists(folder / "theirs/.lock"));
  REQUIRE(result_store::open(folder / "ours"));
  folder.write("ours/notes.txt", "mine");
  CHECK(result_store::open(folder / "ours"));
}

TEST_CASE("a folder that cannot be made is an error that names it", "[unit]") {
  const auto store = result_store::open("/proc/ablation");
  REQUIRE_FALSE(store);
  CHECK_THAT(store.error().text, ContainsSubstring("/proc/ablation"));
}

TEST_CASE("the time left counts cells under way by their share", "[unit]") {
  running_cell half{"half", 10, {}};
  half.last.step = 5;
  const running_cell starting{"starting", 0, {}};
  // Ten cells: two were there, three and a half are done in 70 s, so 20 s each; 4.5 are left.
  const cell_counts counts{10, 2, 2, 1};
  CHECK(counts.left() == 5);
  CHECK(seconds_left(counts, {half, starting}, 70) == Approx(90));
  CHECK(seconds_left({10, 2, 0, 0}, {starting}, 70) < 0);
}

TEST_CASE("progress says how many cells ended, how many failed and what runs", "[unit]") {
  running_cell half{"switch, seed=1", 10, {}};
  half.last.step = 5;
  half.last.loss = 0.25;
  half.last.samples_per_second = 12345;
  const auto lines = progress_lines({4, 1, 1, 1}, {half}, 90, 78, false);
  REQUIRE(lines.size() == 2);
  CHECK_THAT(lines[0],
             ContainsSubstring(" 88% |") && ContainsSubstring("3 of 4 cells, 1 failed  1m30s left"));
  CHECK(lines[0].size() <= 78);
  CHECK_THAT(lines[1], ContainsSubstring(" 50% switch, seed=1  loss 0.2500  12.3k samples/s"));
  CHECK_THAT(progress_lines({1, 0, 0, 0}, {half}, -1, 78, false)[0], ContainsSubstring("0 of 1 cell"));
  half.last.samples_per_second = 0; // not known yet
  CHECK(progress_lines({4, 1, 1, 1}, {half}, 90, 78, false)[1].ends_with("  loss 0.2500"));
}
