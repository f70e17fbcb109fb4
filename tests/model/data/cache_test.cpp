#include "model/data/cache.hpp"

#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

const std::string content(100'000, 'x');

/// Counts how often the bytes had to be made.
struct maker {
  std::atomic<int> calls = 0;

  expected<blob> operator()() {
    ++calls;
    return blob::copy_of(std::as_bytes(std::span(content)));
  }
};

bool is_content(const expected<blob>& bytes) {
  return bytes && std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()) == content;
}

} // namespace

TEST_CASE("cached bytes are made once and mapped afterwards", "[unit]") {
  temporary_directory directory;
  maker make;
  for (int i = 0; i < 3; ++i)
    CHECK(is_content(cached_bytes(directory / "deep/er", "rows", "stamp", std::ref(make))));
  CHECK(make.calls == 1);
}

TEST_CASE("another stamp makes the bytes again", "[unit]") {
  temporary_directory directory;
  maker make;
  cached_bytes(directory.path(), "rows", "one", std::ref(make));
  CHECK(is_content(cached_bytes(directory.path(), "rows", "two", std::ref(make))));
  CHECK(make.calls == 2);
}

TEST_CASE("a truncated cache file is replaced", "[unit]") {
  temporary_directory directory;
  maker make;
  cached_bytes(directory.path(), "rows", "stamp", std::ref(make));
  const auto whole = read_file(directory / "rows");
  for (auto size : {std::size_t{0}, std::size_t{7}, std::size_t{4096}, whole.size() - 1}) {
    const auto before = make.calls.load();
    directory.write("rows", whole.substr(0, size));
    CHECK(is_content(cached_bytes(directory.path(), "rows", "stamp", std::ref(make))));
    CHECK(make.calls == before + 1);
    CHECK(read_file(directory / "rows") == whole);
  }
}

TEST_CASE("a damaged cache file is replaced", "[unit]") {
  temporary_directory directory;
  maker make;
  cached_bytes(directory.path(), "rows", "stamp", std::ref(make));
  const auto whole = read_file(directory / "rows");
  for (auto position : {std::size_t{0}, std::size_t{8}, std::size_t{16}, std::size_t{24}, std::size_t{5000},
                        whole.size() - 1}) {
    auto damaged = whole;
    damaged[position] = static_cast<char>(damaged[position] ^ 1);
    directory.write("rows", damaged);
    CHECK(is_content(cached_bytes(directory.path(), "rows", "stamp", std::ref(make))));
    CHECK(read_file(directory / "rows") == whole);
  }
}

TEST_CASE("without a place to write, bytes stay in memory", "[unit]") {
  temporary_directory directory;
  maker make;
  const auto file = directory.write("file", "no directory");
  CHECK(is_content(cached_bytes(std::nullopt, "rows", "stamp", std::ref(make))));
  CHECK(is_content(cached_bytes(file + "/below", "rows", "stamp", std::ref(make))));
  CHECK(make.calls == 2);
}

TEST_CASE("an error of the maker comes through and leaves no file", "[unit]") {
  temporary_directory directory;
  const auto bytes = cached_bytes(directory.path(), "rows", "stamp", [] {
    return expected<blob>(fail(error_code::malformed, "broken source"));
  });
  REQUIRE_FALSE(bytes.has_value());
  CHECK(bytes.error().text == "broken source");
  CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("many threads may make the same cache file at once", "[unit]") {
  temporary_directory directory;
  maker make;
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&] {
        right += is_content(cached_bytes(directory.path(), "rows", "stamp", std::ref(make))) ? 1 : 0;
      });
  }
  CHECK(right == 8);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory.path())) ++files;
  CHECK(files == 1);
}
