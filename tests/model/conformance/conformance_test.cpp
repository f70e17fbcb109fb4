#include "conformance/runner.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include <unistd.h>

using namespace troupe::conformance;

namespace {

/// Runs a file of these bytes.
outcome outcome_of(const std::string& text) {
  const auto path = std::filesystem::temp_directory_path()
                    / ("troupe-cases-" + std::to_string(getpid()) + ".json");
  std::ofstream(path, std::ios::binary) << text;
  outcome result;
  run_file(path.string(), result);
  std::filesystem::remove(path);
  return result;
}

std::vector<std::string> misses_of(const std::string& text) {
  return outcome_of(text).misses;
}

std::string file_of(const std::string& one_case) {
  return R"({"format": "moe-conformance-1", "precision": "float64", "cases": [)" + one_case + "]}";
}

/// Two tokens, two experts, z = 0 but for one logit ln 3: P = ¾, ¼. Written by hand.
const std::string route_case =
  R"({"name": "a", "op": "route", "options": {"router": "softmax", "k": 1, "renormalise": false},
 "tolerance": {"abs": 1e-12, "rel": 0}, "input": {"z": {"shape": [2, 2], "dtype": "f64", "data": [1.0986122886681098, 0, 0, 0]}},
 "expect": {"experts": {"shape": [2, 1], "dtype": "i64", "data": [0, 0]}, "gates": {"shape": [2, 1], "dtype": "f64", "data": [0.75, 0.5]}}})";

std::string changed(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

} // namespace

TEST_CASE("every published case holds within its tolerance", "[unit]") {
  outcome all;
  run_file(std::string(TROUPE_TEST_DATA) + "/cases-public.json", all);
  for (const auto& miss : all.misses) UNSCOPED_INFO(miss);
  CHECK(all.passed());
  std::size_t cases = 0;
  for (const auto& [op, summary] : all.ops) cases += summary.passed;
  CHECK(cases == 143);
  CHECK(all.ops.size() == 12);
}

TEST_CASE("a right case passes and each wrong number is a miss", "[unit]") {
  CHECK(misses_of(file_of(route_case)).empty());
  CHECK(misses_of(file_of(changed(route_case, "0.75", "0.7500001"))).size() == 1);
  const auto integers = misses_of(file_of(changed(route_case, "[0, 0]}, \"gates\"", "[1, 0]}, \"gates\"")));
  REQUIRE(integers.size() == 1);
  CHECK(integers[0].find("experts[0]: got 0, expected 1") != std::string::npos);
  CHECK(misses_of(file_of(changed(route_case, R"("shape": [2, 1], "dtype": "f64")",
                                  R"("shape": [2], "dtype": "f64")")))
          .size()
        == 1);
  CHECK(misses_of(file_of(changed(route_case, "\"gates\"", "\"weights\""))).size() == 1);
}

TEST_CASE("a training curve by hand holds, and inputs that do not fit are misses", "[unit]") {
  // y = 2·relu(1·1) and L = y². One step at 0.1: W2 = 2 − 0.4, W1 = 1 − 0.8, y = 0.32.
  const std::string sgd_case =
    R"({"name": "s", "op": "sgd", "options": {"router": {"router": "softmax", "k": 1, "renormalise": true}, "activation": "relu",
 "capacity": {"policy": "none"}, "losses": {}, "lr": 0.1, "steps": 1, "clip": "none"}, "tolerance": {"abs": 1e-12, "rel": 0},
 "input": {"x": {"shape": [1, 1], "dtype": "f64", "data": [1]}, "Wg": {"shape": [1, 1], "dtype": "f64", "data": [0]},
 "W1": {"shape": [1, 1, 1], "dtype": "f64", "data": [1]}, "W2": {"shape": [1, 1, 1], "dtype": "f64", "data": [2]}},
 "expect": {"losses": {"shape": [2], "dtype": "f64", "data": [4, 0.1024]}}})";
  CHECK(misses_of(file_of(sgd_case)).empty()); // what clip "none" does not use may be absent
  CHECK(misses_of(file_of(changed(sgd_case, "0.1024", "0.1025"))).size() == 1);
  CHECK(misses_of(file_of(changed(sgd_case, R"("clip": "none")", R"("clip": "global")")))[0].find("max_norm")
        != std::string::npos);
  auto wide = changed(sgd_case, R"("W1": {"shape": [1, 1, 1], "dtype": "f64", "data": [1]})",
                      R"("W1": {"shape": [1, 1, 2], "dtype": "f64", "data": [1, 1]})");
  wide = changed(wide, R"("W2": {"shape": [1, 1, 1], "dtype": "f64", "data": [2]})",
                 R"("W2": {"shape": [1, 2, 1], "dtype": "f64", "data": [2, 2]})");
  const auto misses = misses_of(file_of(wide));
  REQUIRE(misses.size() == 1);
  CHECK(misses[0].find("takes rows of 2 numbers, x has 1") != std::string::npos);
}

TEST_CASE("a formula may choose more experts than its groups hold, the masked ones last", "[unit]") {
  // P = 1, 1, 3, 1 of 6; the second group wins, and 0 is the first of those that are masked.
  const std::string grouped =
    R"({"name": "g", "op": "route", "options": {"router": "group_limited", "k": 3, "base": "softmax", "scale": 1, "n_group": 2, "topk_group": 1, "group_mask": "neg_inf"},
 "tolerance": {"abs": 1e-12, "rel": 0}, "input": {"z": {"shape": [1, 4], "dtype": "f64", "data": [0, 0, 1.0986122886681098, 0]}},
 "expect": {"experts": {"shape": [1, 3], "dtype": "i64", "data": [2, 3, 0]},
 "gates": {"shape": [1, 3], "dtype": "f64", "data": [0.5, 0.16666666666666666, 0.16666666666666666]}}})";
  CAPTURE(misses_of(file_of(grouped)));
  CHECK(misses_of(file_of(grouped)).empty());
}

TEST_CASE("a case in which nothing could be compared has an infinite error", "[unit]") {
  const auto worst = [](const std::string& from, const std::string& to) {
    const auto result = outcome_of(file_of(changed(route_case, from, to)));
    REQUIRE(result.ops.size() == 1);
    CHECK(result.misses.size() == 1);
    return result.ops.begin()->second.worst_error;
  };
  constexpr auto infinite = std::numeric_limits<double>::infinity();
  CHECK(worst("\"route\"", "\"rout\"") == infinite);
  CHECK(worst("\"softmax\"", "\"softmin\"") == infinite);
  CHECK(worst("\"gates\"", "\"weights\"") == infinite);
  CHECK(worst("[0, 0]}, \"gates\"", "[1, 0]}, \"gates\"") == infinite);
  CHECK(std::abs(worst("0.75", "0.5") - 0.25) < 1e-12);
}

TEST_CASE("a size that would take for ever is a miss", "[unit]") {
  const std::string capacity_case =
    R"({"name": "c", "op": "capacity", "options": {"policy": "token_major", "E": 1000000000, "factor": 1, "minimum": 0, "renormalise_after_drop": false},
 "tolerance": "exact", "input": {"experts": {"shape": [1, 1], "dtype": "i64", "data": [0]}, "gates": {"shape": [1, 1], "dtype": "f64", "data": [1]}},
 "expect": {"C": {"shape": [], "dtype": "i64", "data": [1]}}})";
  const auto misses = misses_of(file_of(capacity_case));
  REQUIRE(misses.size() == 1);
  CHECK(misses[0].ends_with("c: option 'E' is not an integer from 1 to 16777216"));
  CHECK(misses_of(file_of(changed(capacity_case, "1000000000", "65536"))).empty());
}

TEST_CASE("what is unknown, missing or malformed is a miss and never skipped", "[unit]") {
  const auto wrong = [](const std::string& from, const std::string& to, const std::string& said) {
    const auto misses = misses_of(file_of(changed(route_case, from, to)));
    INFO(from << " → " << to);
    REQUIRE(misses.size() == 1);
    INFO(misses[0]);
    CHECK(misses[0].find(said) != std::string::npos);
  };
  wrong("\"route\"", "\"rout\"", "unknown op 'rout'");
  wrong("\"softmax\"", "\"softmin\"", "unknown router 'softmin'");
  wrong("\"renormalise\": false", "\"renormalize\": false", "unknown option 'renormalize'");
  wrong(", \"renormalise\": false", "", "'renormalise' is missing");
  wrong("\"k\": 1", "\"k\": 3", "1 to 2");
  wrong("\"k\": 1", "\"k\": 1.5", "an integer");
  wrong("\"k\": 1", "\"k\": 1000000000", "option 'k' is not an integer from 1 to 16777216");
  wrong("\"k\": 1", "\"k\": 1, \"k\": 1", "given twice");
  wrong("\"z\"", "\"y\"", "unknown input 'y'");
  wrong("[1.0986122886681098, 0, 0, 0]", "[1.0986122886681098, 0, 0]", "has 3");
  wrong("[1.0986122886681098, 0, 0, 0]", "[1.0986122886681098, 0, 0, 1e999]", "");
  wrong("[1.0986122886681098, 0, 0, 0]", "[1.0986122886681098, 0, 0, NaN]", "");
  wrong("\"dtype\": \"i64\"", "\"dtype\": \"i32\"", "unknown dtype");
  wrong("\"tolerance\": {\"abs\": 1e-12, \"rel\": 0},", "", "'tolerance' is missing");
  CHECK(misses_of("").size() == 1);
  const auto cut = misses_of(R"({"format": )");
  REQUIRE(cut.size() == 1);
  CHECK(cut[0].ends_with(": byte 11: got the end, limit one whole JSON value; it was cut"));
  CHECK(misses_of(file_of("")).size() == 1);
  CHECK(misses_of(file_of(route_case + "," + route_case)).size() == 1);
  CHECK(misses_of(changed(file_of(route_case), "moe-conformance-1", "moe-conformance-2")).size() == 1);
  outcome absent;
  run_file("/nowhere/cases.json", absent);
  CHECK(absent.misses.size() == 1);
}
