#include "launcher/ablate/cell.hpp"
#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <set>

using namespace troupe;
using namespace troupe::ablate;
using Catch::Matchers::ContainsSubstring;

namespace {

expected<cell_plan> whole_plan(const std::string& toml) {
  const test::temporary_directory folder;
  const auto read = read_matrix(folder.write("m.toml", toml));
  if (!read) return tl::unexpected(read.error());
  return plan_cells(*read, "");
}

expected<std::vector<cell>> plan(const std::string& toml) {
  return whole_plan(toml).map([](cell_plan&& made) { return std::move(made.cells); });
}

std::vector<std::string> names_of(const std::string& toml) {
  const auto cells = plan(toml);
  INFO((cells ? "" : cells.error().text));
  REQUIRE(cells);
  std::vector<std::string> names;
  for (const auto& each : *cells) names.push_back(each.name);
  return names;
}

using names = std::vector<std::string>;

} // namespace

TEST_CASE("a matrix spans every combination, the last list fastest, in the order of the file", "[unit]") {
  CHECK(names_of("data = 'gaussian'\n[vary]\nrouter = ['softmax', 'sigmoid_bias']\nnum-experts = [4, 8]\n"
                 "seed = [0, 7]\n")
        == names{"router=softmax, num-experts=4, seed=0", "router=softmax, num-experts=4, seed=7",
                 "router=softmax, num-experts=8, seed=0", "router=softmax, num-experts=8, seed=7",
                 "router=sigmoid_bias, num-experts=4, seed=0", "router=sigmoid_bias, num-experts=4, seed=7",
                 "router=sigmoid_bias, num-experts=8, seed=0", "router=sigmoid_bias, num-experts=8, seed=7"});
}

TEST_CASE("one list besides the seeds names the groups by its key and value", "[unit]") {
  CHECK(names_of("[vary]\nlr = [0.1, 1e-3]\nseed = [1]\n") == names{"lr 0.1, seed=1", "lr 0.001, seed=1"});
  CHECK(names_of("[vary]\nseed = [1, 2]\n") == names{"all, seed=1", "all, seed=2"});
  CHECK(names_of("data = 'gaussian'\n") == names{"all"});
}

TEST_CASE("cells are what the options of a training run say", "[unit]") {
  const auto cells = plan(
    "data = 'gaussian'\nepochs = 3\nrouter-loss = ['z=0.25']\nno-expert-bias = true\n"
    "[vary]\nrouter = ['sigmoid_bias', { router = 'switch', router-aux-loss-coef = 0.5 }]\n"
    "seed = [5, 6]\n");
  REQUIRE(cells);
  REQUIRE(cells->size() == 4);
  const auto& last = cells->back();
  CHECK(last.name == "router switch, router-aux-loss-coef=0.5, seed=6");
  CHECK(last.group == "router switch, router-aux-loss-coef=0.5");
  CHECK(last.options.config.data.name == "gaussian");
  CHECK(last.options.config.schedule.epochs == 3);
  CHECK(last.options.config.schedule.seed == 6);
  CHECK(last.options.config.model.router.name == "switch");
  CHECK(last.options.config.model.router.losses == std::vector<loss_option>{{"switch", 0.5}, {"z", 0.25}});
  CHECK_FALSE(last.options.config.model.expert_bias);
  CHECK(last.hash == hash_of(last.options.config));
  CHECK((*cells)[2].repeats == last.repeats);
  CHECK((*cells)[0].repeats != last.repeats);
  std::set<std::string> hashes;
  for (const auto& each : *cells) hashes.insert(each.hash);
  CHECK(hashes.size() == 4);
}

TEST_CASE("a table's label names it", "[unit]") {
  CHECK(names_of("[vary]\nway = [{ label = 'weak', lr = 1e-4 }, { lr = 0.1, min-lr = 0.01 }]\n")
        == names{"way weak", "way lr=0.1, min-lr=0.01"});
  CHECK(names_of("[vary]\nlr = [{ label = 'weak', lr = 1e-4 }, 0.1, 0.2]\n[[exclude]]\nlr = 'weak'\n")
        == names{"lr 0.1", "lr 0.2"});
}

TEST_CASE("combinations are left out and added", "[unit]") {
  CHECK(names_of("[vary]\nnum-experts = [4, 8]\nnum-experts-per-token = [2, 8]\nseed = [0, 1]\n"
                 "[[exclude]]\nnum-experts = 4\nnum-experts-per-token = 8\n"
                 "[[exclude]]\nnum-experts-per-token = 2\nseed = 1\n"
                 "[[include]]\nnum-experts = 16\n"
                 "[[include]]\nnum-experts = 32\nseed = 9\n")
        == names{
          "num-experts=4, num-experts-per-token=2, seed=0", "num-experts=8, num-experts-per-token=2, seed=0",
          "num-experts=8, num-experts-per-token=8, seed=0", "num-experts=8, num-experts-per-token=8, seed=1",
          "num-experts 16, seed=0", "num-experts 16, seed=1", "num-experts 32, seed=9"});
}

TEST_CASE("a cell of data of one's own is another one when the data is", "[unit]") {
  const test::temporary_directory folder;
  const auto hash = [&](const std::string& data, const std::string& directory) {
    const auto cells = plan("data = '" + data + "'\ndata-dir = '" + directory + "'\n");
    REQUIRE(cells);
    return cells->front().hash;
  };
  const auto one = folder.write("one", "rows");
  const auto other = folder.write("other", "other rows");
  const auto first = hash("tensors", one);
  CHECK(hash("tensors", other) != first);
  CHECK(hash("tensors", folder.write("copy", "rows")) == first);
  CHECK(hash("tensors", folder / "none") != hash("tensors", folder / "neither"));
  folder.write("one", "other rows"); // in the same place
  CHECK(hash("tensors", one) == hash("tensors", other));
  CHECK(hash("gaussian", one) == hash("gaussian", other));
  CHECK(hash("fashion-mnist", one) == hash("fashion-mnist", other));
  CHECK(plan("data = 'tensors'\n[vary]\ndata-dir = ['" + folder / "none" + "', '" + one + "']\n"));
  CHECK_FALSE(plan("data = 'tensors'\n[vary]\ndata-dir = ['" + one + "', '" + other + "']\n")); // equal by
                                                                                                // now
}

TEST_CASE("a wrong matrix is refused in one line that says where and what", "[unit]") {
  struct row {
    std::string toml;
    std::string place;
    std::string named;
  };
  const auto [toml, place, named] = GENERATE(values<row>({
    {"lr = = 3\n", ":1]", "malformed TOML"},
    {"lr = 0.1\nnum-expert = 8\n", "m.toml:2]", "did you mean --num-experts?"},
    {"lr = 'fast'\n", ":1]", "lr: got 'fast', limit a number without quotes"},
    {"[vary]\nlr = [0.1,\n '0.2']\n", ":3]", "lr: got '0.2', limit a number without quotes"},
    {"lr = 0.1\nnum-experts = [4, 8]\n", ":2]",
     "num-experts: got a list, limit one value; put it under [vary]"},
    {"num-experts = [8]\n", ":1]", "num-experts: got a list, limit one value; put it under [vary]"},
    {"router = ['softmax', 'switch']\n", ":1]", "router: got a list, limit one value; put it under [vary]"},
    {"[vary]\nnum-experts = [[4, 8]]\n", ":2]", "num-experts: got a list, limit one value"},
    {"[vary]\nway = [{ num-experts = [4, 8] }]\n", ":2]", "num-experts: got a list, limit one value"},
    {"num-experts = 0\n", ":1]", "--num-experts"},
    {"vary = 3\n", ":1]", "vary"},
    {"[vary]\nseed = 3\n", ":2]", "seed: limit a list"},
    {"[vary]\nseed = []\n", ":2]", "seed: limit a list"},
    {"[vary]\nseed = [1, 1]\n", ":2]", "'1' twice"},
    {"[vary]\nseed = [{}]\n", ":2]", "limit a table with one option or more"},
    {"[vary]\nway = [{ label = 3, lr = 1 }]\n", ":2]", "label"},
    {"[vary]\nseed = [1979-05-27]\n", ":2]", "got a date"},
    {"[model]\nnum-experts = 8\n", ":1]", "model: got a table"},
    {"metrics-file = 'x'\n", ":1]", "metrics-file: not in an ablation"},
    {"nodes = 2\n", ":1]", "nodes: not in an ablation"},
    {"no-eval = true\n", ":1]", "no-eval: not in an ablation"},
    {"config = 'x'\n", ":1]", "config: not in an ablation"},
    {"exclude = 3\n", ":1]", "exclude"},
    {"exclude = [3]\n", ":1]", "exclude"},
    {"[vary]\nseed = [1, 2]\n[[exclude]]\nseed = 3\n", ":4]", "no combination has seed = 3"},
    {"[vary]\nseed = [1]\n[[exclude]]\nseed = 1\n", "m.toml]", "leaves no combination"},
    {"[vary]\nlr = [0.1]\nway = [{ lr = 0.2 }]\n", ":3]", "lr: set by two lists"},
    {"[vary]\nin-flight = [1, 2]\n", "m.toml]", "are the same run"},
    {"[vary]\nnum-experts = [4, 2]\nnum-experts-per-token = [2, 9]\n", ":3]",
     "cell num-experts=4, num-experts-per-token=9: --num-experts-per-token: got 9"},
    {"[vary]\nrouter = ['softmax', 'swich']\nseed = [0, 1]\n", ":2]",
     "cell router swich, seed=0: --router: got 'swich'"},
    {"[vary]\nrouter = ['softmax', { router = 'switch', router-aux-loss-coef = -1 }]\n", ":2]", "got -1"},
    {"[vary]\nseed = [0, 1]\n[[include]]\nnum-expert = 8\n", ":4]", "did you mean --num-experts?"},
    {"router = 'switch'\n[vary]\nnum-experts-per-token = [2, 3]\n", ":3]", "limit 1 with --router switch"},
  }));
  CAPTURE(toml);
  const auto cells = plan(toml);
  REQUIRE_FALSE(cells);
  CHECK(cells.error().code == error_code::usage);
  CHECK(cells.error().text.find('\n') == std::string::npos);
  CHECK_THAT(cells.error().text, ContainsSubstring(place) && ContainsSubstring(named));
}

TEST_CASE("a combination that no run can have is left out with its reason", "[unit]") {
  const auto made = whole_plan(
    "data = 'gaussian'\n[vary]\nrouter = ['softmax', 'switch']\nnum-experts-per-token = [1, 2]\n"
    "seed = [0, 1]\n");
  REQUIRE(made);
  names kept;
  for (const auto& each : made->cells) kept.push_back(each.name);
  CHECK(kept
        == names{"router=softmax, num-experts-per-token=2, seed=0",
                 "router=softmax, num-experts-per-token=2, seed=1",
                 "router=switch, num-experts-per-token=1, seed=0",
                 "router=switch, num-experts-per-token=1, seed=1"});
  REQUIRE(made->refused.size() == 4);
  CHECK(made->refused[0].name == "router=softmax, num-experts-per-token=1, seed=0");
  CHECK(made->refused[0].group == "router=softmax, num-experts-per-token=1");
  CHECK_THAT(made->refused[0].reason,
             ContainsSubstring("--num-experts-per-token: got 1 with --router softmax"));
  CHECK_THAT(made->refused[3].reason, ContainsSubstring("limit 1 with --router switch"));
  // hash goes with neither coefficient, but is a router
  const auto hashed = whole_plan("[vary]\nrouter = ['softmax', 'hash']\nrouter-aux-loss-coef = [0.1, 0.2]\n");
  REQUIRE(hashed);
  CHECK(hashed->cells.size() == 2);
  CHECK(hashed->refused.size() == 2);
  const auto excluded = whole_plan("[vary]\nrouter = ['softmax', 'hash']\nrouter-aux-loss-coef = [0.1, 0.2]\n"
                                   "[[exclude]]\nrouter = 'hash'\nrouter-aux-loss-coef = 0.1\n");
  REQUIRE(excluded);
  CHECK(excluded->refused.size() == 1);
}

TEST_CASE("cells and their threads fit the cores", "[unit]") {
  const auto jobs_and_threads = [](const std::string& toml, std::uint32_t cores, std::uint32_t wanted) {
    auto cells = plan(toml);
    REQUIRE(cells);
    const auto jobs = jobs_within(cores, *cells, wanted);
    share_cores(cores, jobs, *cells);
    return std::pair(jobs, cells->front().options.run.compute_threads);
  };
  const std::string three = "[vary]\nseed = [0, 1, 2]\n";
  using fit = std::pair<std::uint32_t, std::uint32_t>;
  CHECK(jobs_and_threads(three, 2, 0) == fit{2, 1});
  CHECK(jobs_and_threads(three, 8, 0) == fit{3, 2});
  CHECK(jobs_and_threads(three, 8, 2) == fit{2, 4});
  CHECK(jobs_and_threads(three, 2, 3) == fit{3, 1});
  CHECK(jobs_and_threads("compute-threads = 2\n" + three, 4, 0) == fit{2, 2});
  CHECK(jobs_and_threads("intra-op-threads = 2\n" + three, 4, 0) == fit{2, 1});
  CHECK(jobs_and_threads("compute-threads = 8\n" + three, 4, 0) == fit{1, 8});
}

TEST_CASE("a matrix too large to mean is refused before it is laid out", "[unit]") {
  std::string toml = "[vary]\n";
  for (const auto* key : {"seed", "lanes", "batch-size", "epochs"}) {
    toml += std::string(key) + " = [";
    for (int value = 1; value <= 100; ++value) toml += std::to_string(value) + ",";
    toml += "]\n";
  }
  const auto cells = plan(toml);
  REQUIRE_FALSE(cells);
  CHECK_THAT(cells.error().text, ContainsSubstring("limit 4096"));
}
