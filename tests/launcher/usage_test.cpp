#include "tests/launcher/launcher_fixture.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

TEST_CASE("wrong usage ends with code 2 and one line that names the option", "[process]") {
  struct row {
    std::vector<std::string> arguments;
    std::string named;
  };
  const auto [arguments, named] = GENERATE(values<row>({
    {{}, "no command"},
    {{"trian"}, "did you mean 'train'"},
    {{"train", "--foo"}, "--foo"},
    {{"train", "--num-expert", "8"}, "did you mean --num-experts?"},
    {{"train", "extra"}, "extra"},
    {{"train", "--lr"}, "--lr"},
    {{"train", "--lr", "fast"}, "--lr: got 'fast'"},
    {{"train", "--nodes", "-1"}, "--nodes: got '-1'"},
    {{"train", "--nodes", "1.5"}, "--nodes: got '1.5'"},
    {{"train", "--nodes", "10000"}, "--nodes: got 10000, limit 0 to 64; more can join from other machines"},
    {{"eval", "--model", "m", "--wait-policy", "spin"}, "--wait-policy: got 'spin', limit active | passive"},
    {{"eval", "--model", "m", "--nodes", "65"}, "--nodes: got 65, limit 0 to 64"},
    {{"train", "--batch-size", "99999999999999999999"}, "--batch-size"},
    {{"train", "--num-experts", "0"}, "--num-experts"},
    {{"train", "--num-experts-per-token", "5"}, "--num-experts-per-token"},
    {{"train", "--data-parallel-size", "2"}, "--data-parallel-size"},
    {{"train", "--lanes", "2"}, "--lanes"},
    {{"train", "--optimizer", "lion"}, "--optimizer"},
    {{"train", "--data", "mnist"}, "--data"},
    {{"train", "--listen", "4040"}, "--listen: got '4040'"},
    {{"train", "--listen", "127.0.0.1:70000"}, "--listen"},
    {{"train", "--slow-node", "1:5"}, "--slow-node"},
    {{"train", "--config", "no-such-file.toml"}, "no-such-file.toml"},
    {{"train", "--save", ""}, "--save: got an empty text"},
    {{"train", "--metrics-file=", "--no-eval"}, "--metrics-file: got an empty text"},
    {{"train", "--print-digest=maybe"}, "--print-digest: got 'maybe', limit true or false"},
    {{"train", "--no-expert-bias=maybe"}, "got 'maybe', limit true or false"},
    {{"train", "--run-id", ""}, "--run-id: got an empty text"},
    {{"node", "--join", "127.0.0.1:9", "--name", ""}, "--name: got an empty text"},
    {{"train", "--config", "/"}, "--config: got the directory /"},
    {{"eval"}, "--model"},
    {{"node"}, "--join"},
    {{"node", "--join", "nowhere"}, "--join"},
    {{"node", "--join", "127.0.0.1:0"}, "--join"},
    {{"node", "--join", "127.0.0.1:4040", "--name", "1"}, "--name: got 1, limit a name that is no number"},
    {{"status"}, "HOST:PORT is required"},
    {{"status", "somewhere"}, "somewhere"},
    {{"drain", "node-1"}, "--head"},
    {{"ablate"}, "MATRIX.toml is required"},
    {{"ablate", "no-such-file.toml"}, "no-such-file.toml"},
    {{"ablate", "/"}, "got the directory /"},
    {{"ablate", "m.toml", "--jobs", "5000"}, "--jobs"},
  }));
  CAPTURE(arguments);
  const auto result = run_plain(arguments);
  CHECK(result.status == exit_status{2, 0});
  CHECK(lines_of(result.errors).size() == 1);
  CHECK_THAT(result.errors, StartsWith("troupe: error: ") && ContainsSubstring(named));
  CHECK(result.output == "");
}

TEST_CASE("a value that cannot be names the file that it may come from", "[process]") {
  const temporary_directory folder;
  const auto file = folder.write("run.toml", "num-experts = 0\n");
  for (const auto& arguments : {std::vector<std::string>{"train", "--config", file},
                                {"node", "--join", "127.0.0.1:9", "--config", file}}) {
    const auto result = run_plain(arguments);
    CHECK(result.status == exit_status{2, 0});
    CHECK_THAT(result.errors, StartsWith("troupe: error: --num-experts: got 0")
                                && ContainsSubstring("; options come from " + file + ", too\n"));
  }
}

TEST_CASE("an address that other machines can reach needs --insecure", "[process]") {
  const temporary_directory records;
  const variables environment = {{"FAKE_NODE_RECORD", records.path()}};
  const auto refused = run_troupe({"train", "--listen", "0.0.0.0:4040"}, environment);
  CHECK(refused.status == exit_status{2, 0});
  CHECK_THAT(refused.errors,
             ContainsSubstring("--listen: got 0.0.0.0:4040") && ContainsSubstring("--insecure"));
  CHECK(read_file(records / "head.json") == ""); // nothing was started
  const auto allowed = run_troupe({"train", "--listen", "0.0.0.0:4040", "--insecure"}, environment);
  CHECK(allowed.status == exit_status{0, 0});
  CHECK(value_of(record_of(records, "head"), "--listen") == "0.0.0.0:4040");
  CHECK_THAT(allowed.output, ContainsSubstring("; waiting for a node: troupe node --join 127.0.0.1:"));
  CHECK(allowed.errors
        == "troupe: warning: --listen: connections from other machines are not encrypted; use a network you "
           "trust\n");
  const auto with_nodes = run_troupe({"train", "--listen", "127.0.0.1:0", "--nodes", "1"});
  CHECK_THAT(with_nodes.output, ContainsSubstring("; join with: troupe node --join 127.0.0.1:"));
  CHECK(with_nodes.errors == "");
  const auto alone = run_troupe({"train", "--insecure"});
  CHECK(alone.errors == "troupe: warning: --insecure changes nothing without --listen\n");
}

TEST_CASE("a node program that is not there is an error that names it", "[process]") {
  const auto result = run_plain({"train", "--node-program", "/no/such/program"});
  CHECK(result.status == exit_status{1, 0});
  CHECK_THAT(result.errors, ContainsSubstring("/no/such/program") && ContainsSubstring("--node-program"));
}

TEST_CASE("a directory that is no model is an error that names it", "[process]") {
  const temporary_directory folder;
  const auto result = run_plain({"eval", "--model", folder.path()});
  CHECK(result.status == exit_status{1, 0});
  CHECK(lines_of(result.errors).size() == 1);
  CHECK_THAT(result.errors, ContainsSubstring(folder.path()));
}

TEST_CASE("help and version go to stdout", "[process]") {
  for (const auto& command : {"train", "eval", "node", "ablate", "status", "drain"}) {
    CAPTURE(command);
    const auto help = run_plain({command, "--help"});
    CHECK(help.status == exit_status{0, 0});
    CHECK(help.errors == "");
    CHECK_THAT(help.output,
               ContainsSubstring(std::string("Usage: troupe ") + command) && ContainsSubstring("Example"));
  }
  CHECK_THAT(run_plain({"status", "--help"}).output,
             ContainsSubstring("troupe status [OPTIONS] HOST:PORT\n"));
  CHECK_THAT(run_plain({"drain", "--help"}).output, ContainsSubstring("troupe drain [OPTIONS] NODE\n"));
  CHECK_THAT(run_plain({"train", "--help"}).output, !ContainsSubstring("slow-node")); // testing flags are not
                                                                                      // for people
  const auto version = run_plain({"--version"});
  CHECK(version.status == exit_status{0, 0});
  CHECK_THAT(version.output, StartsWith("troupe 0."));
}
