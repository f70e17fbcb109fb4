// The published layer and training cases, through the actors: one process, and a head with two nodes. Left
// out are the routers whose random draws or token ids a case prescribes: a run draws its own. Gradients are
// read off one step of plain SGD with learning rate 1: what a parameter lost is its gradient.

#include "model/checkpoint/model_directory.hpp"
#include "model/checkpoint/safetensors.hpp"
#include "model/configuration.hpp"
#include "tests/process/runs.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <regex>

using namespace troupe;
using namespace troupe::test;
using nlohmann::json;
using namespace std::chrono_literals;

namespace {

using tensors = std::map<std::string, tensor>;

tensor tensor_of(const json& j) {
  const auto dims = j["shape"].get<std::vector<std::int64_t>>();
  const auto values = j["data"].get<std::vector<double>>();
  return tensor::of<double>(shape(std::span(dims)), values);
}

/// Part `e` of a stacked tensor [E, …].
tensor slice(const tensor& stacked, std::int64_t e) {
  const auto dims = stacked.dims().dims().subspan(1);
  const auto count = static_cast<std::size_t>(stacked.row_elements());
  return tensor::of<double>(shape(dims),
                            stacked.as<double>().subspan(static_cast<std::size_t>(e) * count, count));
}

/// Names of the expert tensors: case → model.
std::map<std::string, std::string> expert_names(const std::string& activation) {
  if (activation == "swiglu") return {{"W_gate", "w_gate"}, {"W_up", "w_up"}, {"W_down", "w_down"}};
  return {{"W1", "w1"}, {"b1", "b1"}, {"W2", "w2"}, {"b2", "b2"}};
}

bool prescribes_inputs(const std::string& router) {
  return router == "noisy_top_k" || router == "gshard" || router == "hash";
}

std::vector<json> cases(const std::string& op) {
  const auto file = json::parse(
    std::ifstream(std::string(TROUPE_SOURCE_DIR) + "/tests/data/cases-public.json"));
  std::vector<json> result;
  for (auto& c : file["cases"])
    if (c["op"] == op && !prescribes_inputs(c["options"]["router"]["router"])) result.push_back(c);
  return result;
}

/// How the case's router and capacity are chosen by options.
router_options router_of(const json& o, std::uint32_t experts) {
  router_options r;
  const auto& given = o["router"];
  r.name = given["router"];
  r.experts_per_token = given.value("k", r.name == "switch" ? 1u : std::min(2u, experts));
  r.renormalise = given.value("renormalise", true);
  r.scale = given.value("scale", 1.0);
  r.bias_update_rate = 0;
  r.sinkhorn_tolerance = given.value("tol", r.sinkhorn_tolerance);
  r.sinkhorn_epsilon = given.value("eps", r.sinkhorn_epsilon);
  r.choice_capacity_factor = given.value("capacity_factor", r.choice_capacity_factor);
  r.losses.clear();
  for (auto& [name, coefficient] : o["losses"].items()) r.losses.push_back({name, coefficient});
  const auto& capacity = o["capacity"];
  r.capacity_policy = capacity["policy"];
  if (r.capacity_policy != "none") {
    r.capacity_factor = r.capacity_factor_eval = capacity["factor"];
    r.capacity_minimum = capacity["minimum"];
    r.renormalise_after_drop = capacity["renormalise_after_drop"];
  }
  return r;
}

configuration configuration_of(const json& c, bool gradients) {
  const auto& o = c["options"];
  const auto& x = c["input"];
  configuration result;
  result.data.name = "tensors";
  auto& m = result.model;
  m.task = "mean_square";
  m.precision = "f64";
  m.expert_activation = o["activation"];
  m.expert_bias = x.contains("b1");
  m.experts = x["Wg"]["shape"][0];
  m.expert_hidden_size = x[o["activation"] == "swiglu" ? "W_gate" : "W1"]["shape"][1];
  m.learn_inputs = gradients;
  m.router = router_of(o, m.experts);
  if (x.contains("shared_W_gate")) {
    m.shared_experts = 1;
    m.shared_expert_hidden_size = x["shared_W_gate"]["shape"][0];
    m.shared_expert_gate = x.contains("shared_w");
  }
  result.optimizer.name = "sgd";
  result.optimizer.schedule = "constant";
  result.optimizer.learning_rate = gradients ? 1.0 : o["lr"].get<double>();
  result.schedule.batch_size = x["x"]["shape"][0];
  result.schedule.evaluate_at_end = false;
  result.schedule.max_steps = gradients ? 1 : o["steps"].get<std::uint64_t>() + 1;
  if (!gradients && o["clip"] != "none") {
    result.optimizer.clip_norm = o["max_norm"];
    result.optimizer.clip_scope = o["clip"];
  }
  return result;
}

std::vector<owner_parameters> parameters_of(const json& c, bool gradients) {
  std::vector<owner_parameters> result{
    {{0, owner_id::dense_part, 0}, {{"router.weight", tensor_of(c["input"]["Wg"])}}}};
  auto& dense = result[0].values;
  if (c["input"].contains("shared_w")) dense.push_back({"shared.gate", tensor_of(c["input"]["shared_w"])});
  if (gradients) dense.push_back({"inputs", tensor_of(c["input"]["x"])});
  if (c["input"].contains("bias")) dense.push_back({"router.bias", tensor_of(c["input"]["bias"])});
  const auto experts = c["input"]["Wg"]["shape"][0].get<std::uint16_t>();
  for (std::uint16_t e = 0; e < experts; ++e) {
    owner_parameters owner{{0, e, 0}, {}};
    for (auto& [theirs, ours] : expert_names(c["options"]["activation"]))
      if (c["input"].contains(theirs))
        owner.values.push_back({ours, slice(tensor_of(c["input"][theirs]), e)});
    result.push_back(std::move(owner));
  }
  owner_parameters shared{{0, experts, 0}, {}};
  for (auto& [theirs, ours] : expert_names(c["options"]["activation"]))
    if (c["input"].contains("shared_" + theirs))
      shared.values.push_back({ours, tensor_of(c["input"]["shared_" + theirs])});
  if (!shared.values.empty()) result.push_back(std::move(shared));
  return result;
}

/// A head in a process of its own, with `nodes` node processes; ends well or fails the test.
void run_head(const configuration& config, std::uint32_t nodes, const std::vector<std::string>& more) {
  run_options how;
  how.nodes = nodes;
  std::vector<std::string> command{program("troupe-node"), "head",  "--configuration",
                                   to_json(config),        "--run", to_json(how),
                                   "--events-fd",          "1"};
  command.insert(command.end(), more.begin(), more.end());
  if (nodes > 0) command.insert(command.end(), {"--listen", "127.0.0.1:0"});
  auto head = process::start(command);
  std::vector<process> others;
  if (nodes > 0) {
    REQUIRE(head.wait_for_output("\"listening\"", 30s));
    std::smatch found;
    const auto output = head.output();
    REQUIRE(std::regex_search(output, found, std::regex("\"port\":([0-9]+)")));
    for (std::uint32_t n = 0; n < nodes; ++n)
      others.push_back(
        process::start({program("troupe-node"), "join", "--head", "127.0.0.1:" + found[1].str()}));
  }
  const auto end = head.wait(60s);
  INFO(head.output() << head.errors());
  REQUIRE(end);
  REQUIRE(end->success());
}

void require_close(const std::string& what, std::span<const double> got, const json& want) {
  const auto values = want["data"].get<std::vector<double>>();
  REQUIRE(got.size() == values.size());
  double worst = 0;
  for (std::size_t i = 0; i < values.size(); ++i) worst = std::max(worst, std::abs(got[i] - values[i]));
  INFO(what);
  REQUIRE(worst <= 1e-9);
}

/// before − after, by name; experts below number `end` from `begin` on stacked again, or the dense part.
std::vector<double> lost(const std::vector<owner_parameters>& before,
                         const std::vector<owner_parameters>& after, const std::string& name,
                         std::uint32_t begin = 0, std::uint32_t end = UINT32_MAX) {
  std::vector<double> result;
  for (auto& owner : before)
    for (auto& value : owner.values) {
      if (value.name != name || owner.owner.expert < begin || owner.owner.expert >= end) continue;
      const auto same = std::ranges::find(after, owner.owner, &owner_parameters::owner);
      const auto now = std::ranges::find(same->values, name, &named_tensor::name);
      const auto a = value.value.as<double>();
      const auto b = now->value.as<double>();
      std::ranges::transform(a, b, std::back_inserter(result), std::minus{});
    }
  return result;
}

double total_loss(const json& metrics, const configuration& config) {
  double sum = metrics["loss"];
  for (auto& l : config.model.router.losses)
    sum += l.coefficient * metrics["layers"][0][l.name].get<double>();
  return sum;
}

/// Files of one case.
struct case_files {
  case_files(const json& c, configuration& config, bool gradients) {
    const named_tensor rows{"inputs", tensor_of(c["input"]["x"])};
    REQUIRE(write_safetensors(place / "data.safetensors", {&rows, 1}, {}));
    config.data.directory = place / "data.safetensors";
    REQUIRE(write_model(place / "before", config, 0, parameters_of(c, gradients)));
  }

  temporary_directory place;
};

} // namespace

TEST_CASE("the published layer cases hold through the actors", "[process][conformance]") {
  const auto nodes = GENERATE(0u, 2u);
  for (auto& c : cases("layer")) {
    const auto name = c["name"].get<std::string>();
    CAPTURE(name, nodes);
    auto config = configuration_of(c, true);
    case_files files(c, config, true);
    run_head(config, nodes,
             {"--model", files.place / "before", "--save", files.place / "after", "--metrics-file",
              files.place / "metrics"});
    const auto before = parameters_of(c, true);
    const auto after = model_directory::open(files.place / "after")->read_all();
    REQUIRE(after);
    const auto& expect = c["expect"];
    require_close("grad_x", lost(before, *after, "inputs"), expect["grad_x"]);
    require_close("grad_Wg", lost(before, *after, "router.weight"), expect["grad_Wg"]);
    if (expect.contains("grad_shared_w"))
      require_close("grad_shared_w", lost(before, *after, "shared.gate"), expect["grad_shared_w"]);
    const auto experts = config.model.experts;
    for (auto& [theirs, ours] : expert_names(c["options"]["activation"])) {
      if (expect.contains("grad_" + theirs))
        require_close(theirs, lost(before, *after, ours, 0, experts), expect["grad_" + theirs]);
      if (expect.contains("grad_shared_" + theirs))
        require_close("shared " + theirs, lost(before, *after, ours, experts, experts + 1),
                      expect["grad_shared_" + theirs]);
    }
    const auto metrics = read_metrics(files.place / "metrics").front();
    REQUIRE(std::abs(metrics["loss"].get<double>() - expect["loss_task"]["data"][0].get<double>()) <= 1e-9);
    REQUIRE(std::abs(total_loss(metrics, config) - expect["loss"]["data"][0].get<double>()) <= 1e-9);
    REQUIRE(metrics["layers"][0]["expert_rows"] == expect["counts"]["data"]);
    if (config.model.router.name == "sinkhorn") continue; // evaluations route without the balanced plan
    run_head(config, nodes,
             {"--task", "eval", "--model", files.place / "before", "--predictions",
              files.place / "outputs.safetensors"});
    const auto outputs = safetensors_file::open(files.place / "outputs.safetensors")->read("outputs");
    REQUIRE(outputs);
    require_close("y", outputs->as<double>(), expect["y"]);
  }
}

TEST_CASE("the published training curves hold through the actors", "[process][conformance]") {
  const auto nodes = GENERATE(0u, 2u);
  for (auto& c : cases("sgd")) {
    const auto name = c["name"].get<std::string>();
    CAPTURE(name, nodes);
    auto config = configuration_of(c, false);
    case_files files(c, config, false);
    run_head(config, nodes, {"--model", files.place / "before", "--metrics-file", files.place / "metrics"});
    std::vector<double> losses;
    for (auto& line : read_metrics(files.place / "metrics")) losses.push_back(total_loss(line, config));
    require_close("losses", losses, c["expect"]["losses"]);
  }
}
