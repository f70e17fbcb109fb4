#include "model/configuration.hpp"
#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

using words = std::vector<std::string>;

finished_process troupe_with(words arguments, const process_options& options = {}) {
  arguments.insert(arguments.begin(), program("troupe"));
  return run(arguments, 60s, options);
}

/// One line that begins with "troupe: error: " and names `thing`, and nothing else.
void require_one_line(const finished_process& done, int code, const std::string& thing) {
  INFO(done.output << done.errors);
  REQUIRE_FALSE(done.timed_out);
  REQUIRE(done.status.signal == 0);
  REQUIRE(done.status.code == code);
  REQUIRE(done.errors.starts_with("troupe: error: "));
  REQUIRE(std::ranges::count(done.errors, '\n') == 1);
  REQUIRE(done.errors.find(thing) != std::string::npos);
}

struct usage_row {
  words arguments;
  std::string names;
};

/// A port of 127.0.0.1 that somebody else listens at.
class taken_port {
public:
  taken_port() : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(descriptor_, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(::listen(descriptor_, 1) == 0);
    socklen_t size = sizeof at;
    ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&at), &size);
    number = ntohs(at.sin_port);
  }

  ~taken_port() { ::close(descriptor_); }

  int number = 0;

private:
  int descriptor_;
};

words small_run(words more = {}) {
  words command{"train", "--data", "gaussian", "--max-steps", "5"};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

std::string saved_model(const temporary_directory& place) {
  const auto done = troupe_with(small_run({"--save", place / "model"}));
  INFO(done.errors);
  REQUIRE(done.status.success());
  return place / "model";
}

finished_process evaluate(const std::string& model) {
  return troupe_with({"eval", "--model", model});
}

} // namespace

TEST_CASE("impossible options are refused in one line that names them", "[process]") {
  const auto row = GENERATE(
    usage_row{{"train", "--nodez", "2"}, "--nodez"}, usage_row{{"train", "--nodes", "-1"}, "--nodes"},
    usage_row{{"train", "--data", "mnist"}, "--data"},
    usage_row{{"train", "--num-experts", "0"}, "--num-experts"},
    usage_row{small_run({"--num-experts", "4", "--num-experts-per-token", "5"}), "--num-experts-per-token"},
    usage_row{small_run({"--data-parallel-size", "2"}), "--data-parallel-size"},
    usage_row{small_run({"--lanes", "3"}), "--lanes"}, usage_row{small_run({"--lr", "nan"}), "--lr"},
    usage_row{small_run({"--clip-norm", "-1"}), "--clip-norm"},
    usage_row{small_run({"--optimizer", "lion"}), "--optimizer"},
    usage_row{small_run({"--router-aux-loss-coef", "-0.1"}), "--router-aux-loss-coef"},
    usage_row{small_run({"--num-experts-per-token", "1"}), "--router"},
    usage_row{small_run({"--nodes", "1", "--listen", "0.0.0.0:0"}), "--insecure"},
    usage_row{small_run({"--nodes", "1", "--gaussian-width", "4096", "--expert-hidden-size", "24000"}),
              "--expert-hidden-size: got 24000, with moments a state of"},
    usage_row{
      small_run({"--num-experts", "1024", "--gaussian-width", "4096", "--expert-hidden-size", "1048576"}),
      "--expert-hidden-size: got 1048576 with 1024 experts, at least"},
    usage_row{small_run({"--num-experts", "4096", "--expert-hidden-size", "1048576", "--nodes", "2"}),
              "bytes, the memory of this machine; choose fewer, or fewer --num-experts, or --listen"},
    usage_row{small_run({"--run-id", "\xfc"}), "--run-id: got 1 bytes"},
    usage_row{small_run({"--run-id", "two\nlines"}), "--run-id: got 9 bytes"},
    usage_row{small_run({"--listen", "nonsense"}), "nonsense"}, usage_row{{"node", "--join", "here"}, "here"},
    usage_row{{"dance"}, "dance"});
  CAPTURE(row.arguments);
  require_one_line(troupe_with(row.arguments), 2, row.names);
}

TEST_CASE("a malformed configuration file is refused with its line", "[process]") {
  temporary_directory place;
  const auto file = place.write("run.toml", "lr = 0.1\nbatch-size = = 3\n");
  require_one_line(troupe_with(small_run({"--config", file})), 2, "2");
  const auto unknown = place.write("unknown.toml", "learning-speed = 3\n");
  require_one_line(troupe_with(small_run({"--config", unknown})), 2, "learning-speed");
}

TEST_CASE("a missing data set names the package that has it", "[process]") {
  temporary_directory empty;
  const auto done = troupe_with(
    {"train", "--data", "fashion-mnist", "--data-dir", empty.path(), "--max-steps", "2"});
  require_one_line(done, 1, "dataset-fashion-mnist");
}

TEST_CASE("a truncated or corrupted data file is named", "[process]") {
  const std::string package = "/usr/share/datasets/fashion-mnist/";
  const auto name = GENERATE(as<std::string>{}, "train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz");
  const auto cut = GENERATE(true, false);
  CAPTURE(name, cut);
  temporary_directory place;
  for (auto& other : {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz",
                      "t10k-labels-idx1-ubyte.gz"})
    if (name != other) std::filesystem::create_symlink(package + other, place / other);
  auto bytes = read_file(package + name);
  REQUIRE(bytes.size() > 1000);
  if (cut)
    bytes.resize(bytes.size() / 2);
  else
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x40);
  place.write(name, bytes);
  require_one_line(troupe_with({"train", "--data-dir", place.path(), "--max-steps", "2"}), 1, name);
}

TEST_CASE("a port that is in use is named", "[process]") {
  taken_port port;
  const auto address = "127.0.0.1:" + std::to_string(port.number);
  require_one_line(troupe_with(small_run({"--nodes", "1", "--listen", address})), 1,
                   "--listen: cannot open " + address + " (Address already in use)");
}

TEST_CASE("a file that cannot be written is refused before the run", "[process]") {
  require_one_line(troupe_with(small_run({"--metrics-file", "/nowhere/at/all"})), 1, "/nowhere/at/all");
  require_one_line(troupe_with(small_run({"--metrics-file", "/"})), 1,
                   "--metrics-file: got the directory /; name a file, such as /metrics.jsonl");
  require_one_line(troupe_with(small_run({"--save", "/proc/model"})), 1, "--save: cannot create a directory");
  temporary_directory place;
  const auto model = saved_model(place);
  require_one_line(troupe_with({"eval", "--model", model, "--predictions", "/nowhere/at/all"}), 1,
                   "[/nowhere/at/all] cannot create");
}

TEST_CASE("an address that cannot be opened is named with what one can be", "[process]") {
  require_one_line(troupe_with(small_run({"--listen", "192.0.2.1:0", "--insecure"})), 1,
                   "limit an address of this machine with a free port");
}

TEST_CASE("predictions are written through a link", "[process]") {
  temporary_directory place;
  const auto model = saved_model(place);
  std::filesystem::create_symlink("target", place / "link");
  const auto done = troupe_with({"eval", "--model", model, "--predictions", place / "link"});
  INFO(done.errors);
  REQUIRE(done.status.success());
  CHECK(std::filesystem::is_symlink(place / "link"));
  CHECK(std::filesystem::file_size(place / "target") > 0);
}

TEST_CASE("a file that cannot be written in the end costs neither the model nor the result", "[process]") {
  temporary_directory place;
  const auto done = troupe_with(
    small_run({"--metrics-file", "/dev/full", "--bench-json", "/nowhere/bench", "--save", place / "model"}));
  require_one_line(done, 1, "--metrics-file: cannot write all of /dev/full");
  CHECK(done.errors.find("--bench-json: cannot write /nowhere/bench") != std::string::npos);
  CHECK(done.output.find("Saved to ") != std::string::npos);
  CHECK(done.output.find("Trained 5 steps") != std::string::npos);
  const auto tested = troupe_with({"eval", "--model", place / "model", "--predictions", "/dev/full"});
  require_one_line(tested, 1, "--predictions: [/dev/full");
  CHECK(tested.output.find("Test accuracy: ") != std::string::npos);
}

TEST_CASE("nobody at the address to join", "[process]") {
  require_one_line(troupe_with({"node", "--join", "127.0.0.1:1"}), 1,
                   "[head] 127.0.0.1:1: cannot be reached (Connection refused)");
  require_one_line(troupe_with({"status", "127.0.0.1:1"}), 1, "127.0.0.1:1");
  require_one_line(troupe_with({"drain", "node-1", "--head", "127.0.0.1:1"}), 1, "127.0.0.1:1");
}

TEST_CASE("somebody at the address to join who is no head", "[process]") {
  taken_port silent; // takes connections and never says a word
  const auto address = "127.0.0.1:" + std::to_string(silent.number);
  require_one_line(troupe_with({"node", "--join", address}), 1, address);
}

TEST_CASE("an address that other machines can reach needs consent", "[process]") {
  require_one_line(troupe_with({"node", "--join", "192.0.2.1:7077"}), 2, "--insecure");
  require_one_line(troupe_with(small_run({"--nodes", "1", "--listen", "0.0.0.0:0"})), 2, "--insecure");
  const auto head = run({program("troupe-node"), "head", "--configuration",
                         troupe::to_json(troupe::configuration{}), "--run",
                         troupe::to_json(troupe::run_options{}), "--listen", "127.evil.example:0"},
                        60s);
  CHECK(head.status == exit_status{2, 0});
  CHECK(head.errors.find("127.evil.example:0, which other machines can reach") != std::string::npos);
}

TEST_CASE("a machine whose numerics differ is refused with both in words", "[process][torch]") {
  const words with_torch = {"--node-program", program("example-custom-expert")};
  words head = {"--expert", "squared", "--nodes", "1", "--message-delay-ms", "5", "--listen", "127.0.0.1:0"};
  head.insert(head.end(), with_torch.begin(), with_torch.end());
  auto run = process::start(awkward_run(head));
  const auto address = address_of_run(run);
  process_options other;
  other.environment = {{"ATEN_CPU_CAPABILITY", "default"}};
  const auto narrower = troupe_with({"node", "--join", address, with_torch[0], with_torch[1]}, other);
  require_one_line(narrower, 1, "numerics fingerprint");
  REQUIRE(narrower.errors.find("(DEFAULT)") != std::string::npos);
  REQUIRE(narrower.errors.find("use the same build") != std::string::npos);
  const auto without = troupe_with({"node", "--join", address});
  require_one_line(without, 1, "numerics fingerprint");
  REQUIRE(without.errors.find(", LibTorch 2.") != std::string::npos);
  const auto end = run.wait(120s);
  REQUIRE(end);
  REQUIRE(end->success());
}

TEST_CASE("a model directory that is missing, swapped or damaged is refused", "[process]") {
  temporary_directory place;
  require_one_line(evaluate(place / "nothing"), 1, "nothing");
  const auto model = saved_model(place);
  const auto first = model + "/expert-0-0.safetensors";
  const auto second = model + "/expert-0-1.safetensors";
  SECTION("an expert's file is missing") {
    std::filesystem::remove(second);
    require_one_line(evaluate(model), 1, "expert-0-1");
  }
  SECTION("two experts' files are swapped") {
    std::filesystem::rename(first, place / "aside");
    std::filesystem::rename(second, first);
    std::filesystem::rename(place / "aside", second);
    require_one_line(evaluate(model), 1, "expert-0-0");
  }
  SECTION("the data set is another one") {
    require_one_line(troupe_with({"eval", "--model", model, "--data", "fashion-mnist"}), 1,
                     "the model was trained with --data gaussian, this is --data fashion-mnist");
  }
  SECTION("the manifest is missing") {
    std::filesystem::remove(model + "/manifest.json");
    require_one_line(evaluate(model), 1, "manifest.json");
  }
  SECTION("a byte of the manifest has changed") {
    auto content = read_file(model + "/manifest.json");
    const auto at = content.find("\"updates\":") + 11;
    content[content.find_first_of("0123456789", at)] = '7';
    std::ofstream(model + "/manifest.json", std::ios::binary) << content;
    require_one_line(evaluate(model), 1, "manifest.json");
  }
  SECTION("a file is cut off") {
    std::filesystem::resize_file(second, std::filesystem::file_size(second) - 8);
    require_one_line(evaluate(model), 1, "expert-0-1");
  }
  SECTION("a byte has changed") {
    auto content = read_file(first);
    content.back() = static_cast<char>(content.back() ^ 1);
    std::ofstream(first, std::ios::binary) << content;
    require_one_line(evaluate(model), 1, "expert-0-0");
  }
}

TEST_CASE("a saved model is not damaged by a run that fails", "[process]") {
  temporary_directory place;
  const auto model = saved_model(place);
  const auto before = read_file(model + "/manifest.json");
  require_one_line(troupe_with(small_run({"--save", model, "--metrics-file", "/nowhere/at/all"})), 1,
                   "/nowhere");
  REQUIRE(read_file(model + "/manifest.json") == before);
  REQUIRE(evaluate(model).status.success());
}

TEST_CASE("Ctrl-C ends a run and all its processes, a second one at once", "[process]") {
  const bool twice = GENERATE(false, true);
  CAPTURE(twice);
  auto run = process::start(awkward_run({"--nodes", "2", "--message-delay-ms", "5"}, 100'000));
  REQUIRE(run.wait_for_output("Step 10 ", 60s));
  const auto processes = children_of(run.pid());
  REQUIRE(processes.size() == 3);
  const auto asked_at = std::chrono::steady_clock::now();
  run.send_to_group(SIGINT);
  if (twice) {
    REQUIRE(run.wait_for_errors("Ctrl-C again", 10s));
    run.send_to_group(SIGINT);
  }
  const auto end = run.wait(10s);
  REQUIRE(end);
  REQUIRE(std::chrono::steady_clock::now() - asked_at < 4s); // nobody waited for a deadline
  REQUIRE(end->code == 130);
  REQUIRE(run.errors().find("error") == std::string::npos);
  REQUIRE(run.output().find(" lost") == std::string::npos); // they were asked to end
  for (auto each : processes) REQUIRE_FALSE(is_running(each));
}
