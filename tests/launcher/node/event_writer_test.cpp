#include "launcher/node/event_writer.hpp"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

using troupe::node::event_writer;
using json = nlohmann::ordered_json;

namespace {

/// A pipe of one page, which is full soon.
struct small_pipe {
  int reader = -1;
  int writer = -1;

  small_pipe() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    reader = ends[0];
    writer = ends[1];
    REQUIRE(::fcntl(writer, F_SETPIPE_SZ, 4096) == 4096);
  }

  ~small_pipe() { ::close(reader); }

  /// Everything until the writer is closed.
  std::string read_all() const {
    std::string text;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::read(reader, buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<std::size_t>(n));
    return text;
  }
};

} // namespace

TEST_CASE("a launcher that does not read stops nothing, and misses only what is replaced", "[unit]") {
  small_pipe pipe;
  std::string text;
  std::thread reader;
  {
    event_writer events(pipe.writer);
    for (int i = 0; i < 1000; ++i) {
      const json step = {{"event", "step"}, {"step", i}, {"text", std::string(100, 'x')}};
      i % 100 == 0 ? events.write(step) : events.write_if_read(step);
    }
    events.write({{"event", "done"}});
    reader = std::thread([&] { text = pipe.read_all(); });
  } // waits for the reader
  ::close(pipe.writer);
  reader.join();
  std::vector<int> steps;
  std::string last;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto event = json::parse(line); // whole lines only
    last = event["event"];
    if (last == "step") steps.push_back(event["step"]);
  }
  CHECK(last == "done");
  CHECK(std::ranges::is_sorted(steps));
  for (int i = 0; i < 1000; i += 100) CHECK(std::ranges::count(steps, i) == 1);
  CHECK(steps.size() < 100); // a page holds 30
}
