#include "model/data/idx.hpp"

#include "model/sha256.hpp"
#include "tests/model/data/gzip.hpp"
#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cstring>
#include <filesystem>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;

namespace {

const std::string elements = "abcdefghijkl"; // [3, 2, 2]
const idx_expectation wanted{"small.gz", {3, 2, 2}, sha256_hex(idx_file(0x803, {3, 2, 2}, elements))};

/// The error for a file of this content.
error problem_with(const std::string& content, const idx_expectation& expectation = wanted) {
  temporary_directory directory;
  directory.write(expectation.name, content);
  const auto result = read_idx_gz(directory.path(), expectation);
  REQUIRE_FALSE(result.has_value());
  CHECK_THAT(result.error().text, ContainsSubstring(directory / expectation.name));
  CHECK(result.error().text.find('\n') == std::string::npos);
  return result.error();
}

} // namespace

TEST_CASE("an IDX file is read without its header", "[unit]") {
  temporary_directory directory;
  directory.write("small.gz", gzipped(idx_file(0x803, {3, 2, 2}, elements)));
  const auto bytes = read_idx_gz(directory.path(), wanted);
  REQUIRE(bytes.has_value());
  CHECK(std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()) == elements);
}

TEST_CASE("a missing IDX file is not found", "[unit]") {
  temporary_directory directory;
  const auto result = read_idx_gz(directory.path(), wanted);
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().code == error_code::not_found);
  CHECK_THAT(result.error().text, ContainsSubstring("small.gz"));
}

TEST_CASE("a truncated gzip file is refused", "[unit]") {
  const auto whole = gzipped(idx_file(0x803, {3, 2, 2}, elements));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto problem = problem_with(whole.substr(0, size));
    CHECK(problem.code == error_code::malformed);
    CHECK_THAT(problem.text, ContainsSubstring("gzip stream"));
  }
}

TEST_CASE("a gzip file with any one byte changed is refused or still right", "[unit]") {
  temporary_directory directory;
  const auto whole = gzipped(idx_file(0x803, {3, 2, 2}, elements));
  int refused = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    auto damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
    directory.write("small.gz", damaged);
    const auto bytes = read_idx_gz(directory.path(), wanted);
    // Some bytes of gzip's own header (time, system) say nothing about the content.
    if (bytes)
      CHECK(std::memcmp(bytes->data(), elements.data(), elements.size()) == 0);
    else
      ++refused;
  }
  CHECK(refused > static_cast<int>(whole.size()) / 2);
}

TEST_CASE("a file that is not gzip is refused", "[unit]") {
  CHECK_THAT(problem_with(idx_file(0x803, {3, 2, 2}, elements)).text, ContainsSubstring("gzip stream"));
}

TEST_CASE("a wrong IDX magic number is refused", "[unit]") {
  CHECK_THAT(problem_with(gzipped(idx_file(0xd03, {3, 2, 2}, elements))).text,
             ContainsSubstring("IDX magic number: got 0x00000d03, limit 0x00000803"));
}

TEST_CASE("a wrong number of rows is refused", "[unit]") {
  CHECK_THAT(problem_with(gzipped(idx_file(0x803, {2, 2, 2}, elements.substr(0, 8)))).text,
             ContainsSubstring("IDX dimension 0: got 2, limit 3"));
}

TEST_CASE("a wrong image size is refused", "[unit]") {
  CHECK_THAT(problem_with(gzipped(idx_file(0x803, {3, 4, 1}, elements))).text,
             ContainsSubstring("IDX dimension 1: got 4, limit 2"));
}

TEST_CASE("an IDX file with too few or too many elements is refused", "[unit]") {
  CHECK_THAT(problem_with(gzipped(idx_file(0x803, {3, 2, 2}, elements.substr(1)))).text,
             ContainsSubstring("decompressed length: got 27 bytes, limit 28"));
  CHECK_THAT(problem_with(gzipped(idx_file(0x803, {3, 2, 2}, elements + "m"))).text,
             ContainsSubstring("decompressed length: got more than 28 bytes"));
  CHECK_THAT(problem_with(gzipped(std::string(3, '\0'))).text, ContainsSubstring("IDX header"));
}

TEST_CASE("altered elements are refused by their SHA-256", "[unit]") {
  CHECK_THAT(problem_with(gzipped(idx_file(0x803, {3, 2, 2}, "abcdefghijkL"))).text,
             ContainsSubstring("SHA-256"));
}

TEST_CASE("a directory in place of an IDX file is refused", "[unit]") {
  temporary_directory directory;
  std::filesystem::create_directory(directory / "small.gz");
  const auto result = read_idx_gz(directory.path(), wanted);
  REQUIRE_FALSE(result.has_value());
  CHECK_THAT(result.error().text, ContainsSubstring("not a plain file"));
}
