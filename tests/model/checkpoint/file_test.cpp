#include "model/checkpoint/file.hpp"

#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;

namespace fs = std::filesystem;

TEST_CASE("a file is replaced as a whole and leaves nothing beside it", "[unit]") {
  const temporary_directory place;
  const auto path = place.write("file", "old and longer");
  REQUIRE(write_file_atomically(path, "new"));
  CHECK(read_file(path) == "new");
  CHECK(std::distance(fs::directory_iterator(place.path()), {}) == 1);
}

TEST_CASE("writing to a link writes to the file that it names, and the link stays", "[unit]") {
  const temporary_directory place;
  fs::create_directory(place / "folder");
  const auto target = place / "folder/target";
  fs::create_symlink("folder/target", place / "inner"); // to a file that is not there yet, and then is
  fs::create_symlink(place / "inner", place / "outer");
  for (const std::string text : {"first", "second"}) {
    REQUIRE(write_file_atomically(place / "outer", text));
    CHECK(fs::is_symlink(place / "outer"));
    CHECK(fs::is_symlink(place / "inner"));
    CHECK(read_file(target) == text);
  }
  fs::create_symlink("circle", place / "circle");
  CHECK_FALSE(write_file_atomically(place / "circle", "text"));
  CHECK(fs::is_symlink(place / "circle"));
}

TEST_CASE("a pipe is written to and stays what it is", "[unit]") {
  const temporary_directory place;
  REQUIRE(::mkfifo((place / "pipe").c_str(), 0600) == 0);
  const int reader = ::open((place / "pipe").c_str(), O_RDONLY | O_NONBLOCK);
  REQUIRE(reader >= 0);
  REQUIRE(write_file_atomically(place / "pipe", "text"));
  std::string got(16, ' ');
  got.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(reader, got.data(), got.size()))));
  ::close(reader);
  CHECK(got == "text");
  CHECK(fs::is_fifo(place / "pipe"));
}

TEST_CASE("a device that is full is an error that names it", "[unit]") {
  const temporary_directory place;
  fs::create_symlink("/dev/full", place / "link");
  const auto written = write_file_atomically(place / "link", "text");
  REQUIRE_FALSE(written);
  CHECK_THAT(written.error().text, ContainsSubstring("link] cannot write: No space left"));
  CHECK(fs::is_symlink(place / "link"));
}

TEST_CASE("whether a file could be written is known without writing it", "[unit]") {
  const temporary_directory place;
  CHECK(check_file_target(place / "new"));
  CHECK(check_file_target(place.write("old", "text")));
  CHECK(read_file(place / "old") == "text");
  CHECK(check_file_target("/dev/null"));
  CHECK_FALSE(check_file_target(place / "nowhere/new"));
  CHECK_FALSE(check_file_target("/proc/new"));
  CHECK_FALSE(check_file_target(place.path()));
  CHECK(std::distance(fs::directory_iterator(place.path()), {}) == 1);
}
