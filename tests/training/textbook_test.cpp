// A training run through the actors, in single precision, against the same network as a textbook would write
// it: one process, LibTorch's autograd, a loop over experts, plain SGD. The two share the initial weights and
// the data; everything else is computed twice.

#include "launcher/node/head.hpp"
#include "launcher/node/system.hpp"
#include "model/routing/routers.hpp"
#include "tests/model/torch/torch_tensor.hpp"
#include "tests/support/process.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <nlohmann/json.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cmath>
#include <fstream>
#include <map>
#include <mutex>

using namespace troupe;
using troupe::test::to_torch;

namespace {

constexpr std::uint64_t steps = 50;
constexpr double learning_rate = 0.1;
constexpr double switch_coefficient = 0.05;
constexpr double z_coefficient = 0.001;

/// Which experts each row of the data set went to, best first. Every row is trained on once.
struct choices {
  std::mutex mutex;
  std::map<std::int64_t, std::vector<std::int32_t>> by_row;
  int repeats = 0;
};

/// The standard router, with somebody who takes notes.
class noted_router : public router<float> {
public:
  noted_router(std::int64_t k, std::shared_ptr<choices> notes)
    : rule_(make_softmax<float>(k, true)), notes_(std::move(notes)) {
    // nop
  }

  router_needs needs() const override {
    auto result = rule_->needs();
    result.ids = router_needs::id_kind::token;
    return result;
  }

  routing<float> route(const routing_input<float>& in) const override {
    auto result = rule_->route(in);
    const std::lock_guard guard(notes_->mutex);
    for (std::int64_t t = 0; t < result.tokens; ++t) {
      const auto first = result.experts.begin() + t * result.slots;
      notes_->repeats += !notes_->by_row.emplace(in.ids[t], std::vector(first, first + result.slots)).second;
    }
    return result;
  }

  void backward(const routing_input<float>& in, const routing<float>& forward,
                std::span<const float> gate_gradient, logit_gradient<float>& out) const override {
    rule_->backward(in, forward, gate_gradient, out);
  }

private:
  std::unique_ptr<router<float>> rule_;
  std::shared_ptr<choices> notes_;
};

/// What a step reports: means over its rows.
struct step_values {
  double loss = 0;
  double balance = 0;
  double z = 0;
};

/// The network of a textbook: router, experts, loss; one microbatch at a time.
class textbook {
public:
  textbook(const configuration& config, const model_shape& widths, const model_factory& factory)
    : experts_(config.model.experts), k_(config.model.router.experts_per_token) {
    gate_ = leaf(factory.make_dense(config, widths, 0).value()->parameters().at(0).value);
    for (std::uint16_t e = 0; e < experts_; ++e) {
      auto& p = parameters_.emplace_back();
      for (auto& n : factory.make_expert(config, widths, {0, e, 0}).value()->parameters())
        p[n.name] = leaf(n.value);
    }
  }

  /// One step over microbatches of the given rows; writes down where each row goes.
  step_values train(const samples& data, const std::vector<std::int64_t>& microbatches,
                    std::map<std::int64_t, std::vector<std::int32_t>>& chosen) {
    const auto x = to_torch(data.inputs);
    const auto labels = to_torch(data.labels);
    const auto ids = data.ids.as<std::int64_t>();
    step_values result;
    std::int64_t first = 0;
    for (const auto rows : microbatches) {
      const auto share = static_cast<double>(rows) / static_cast<double>(x.size(0));
      forward(x.slice(0, first, first + rows), labels.slice(0, first, first + rows),
              ids.subspan(static_cast<std::size_t>(first)), share, result, chosen);
      first += rows;
    }
    descend(gate_);
    for (auto& p : parameters_)
      for (auto& [name, value] : p) descend(value);
    return result;
  }

private:
  static at::Tensor leaf(const tensor& value) { return to_torch(value).requires_grad_(true); }

  static void descend(at::Tensor& parameter) {
    if (!parameter.grad().defined()) return; // an expert that got no row
    const c10::AutoGradMode off(false);
    parameter.sub_(parameter.grad(), learning_rate);
    parameter.mutable_grad() = at::Tensor();
  }

  void forward(const at::Tensor& x, const at::Tensor& labels, std::span<const std::int64_t> ids, double share,
               step_values& into, std::map<std::int64_t, std::vector<std::int32_t>>& chosen) {
    const auto z = at::mm(x, gate_.t());
    const auto probabilities = at::softmax(z, -1);
    const auto [values, picks] = at::topk(probabilities, k_, -1);
    const auto gates = values / values.sum(-1, true);
    for (std::int64_t t = 0; t < x.size(0); ++t)
      for (std::int64_t s = 0; s < k_; ++s)
        chosen[ids[static_cast<std::size_t>(t)]].push_back(picks[t][s].item<std::int32_t>());
    at::Tensor y;
    for (std::int64_t e = 0; e < experts_; ++e) {
      auto& p = parameters_[static_cast<std::size_t>(e)];
      const auto out = at::mm(at::silu(at::mm(x, p["w1"].t()) + p["b1"]), p["w2"].t()) + p["b2"];
      const auto weighted = (gates * (picks == e)).sum(-1, true) * out;
      y = y.defined() ? y + weighted : weighted;
    }
    const auto loss = at::cross_entropy_loss(y, labels);
    const auto rows = at::bincount(picks.reshape(-1), {}, experts_).to(at::kFloat);
    const auto balance = experts_ * (rows / (x.size(0) * k_) * probabilities.mean(0)).sum();
    const auto squares = at::logsumexp(z, {-1}).square().mean();
    (share * (loss + switch_coefficient * balance + z_coefficient * squares)).backward();
    into.loss += share * loss.item<double>();
    into.balance += share * balance.item<double>();
    into.z += share * squares.item<double>();
  }

  std::int64_t experts_;
  std::int64_t k_;
  at::Tensor gate_;
  std::vector<std::map<std::string, at::Tensor>> parameters_;
};

configuration awkward(std::uint32_t microbatches, const std::string& router) {
  configuration c;
  c.data.name = "gaussian";
  auto& m = c.model;
  m.experts = 7;
  m.expert_hidden_size = 50;
  m.expert_activation = "silu";
  m.router.name = router;
  m.router.experts_per_token = 3;
  m.router.losses = {{"switch", switch_coefficient}, {"z", z_coefficient}};
  c.optimizer.name = "sgd";
  c.optimizer.learning_rate = learning_rate;
  c.optimizer.schedule = "constant";
  c.schedule.seed = 5;
  c.schedule.batch_size = 22;
  c.schedule.num_microbatches = microbatches;
  c.schedule.lanes = std::min(3u, microbatches);
  c.schedule.max_steps = steps;
  c.schedule.evaluate_at_end = false;
  return c;
}

/// The lines that a run through the actors wrote into its metrics file.
std::vector<nlohmann::json> trained(const configuration& config, const extensions& more) {
  static const bool once = [] {
    node::initialise_caf();
    return true;
  }();
  (void)once;
  test::temporary_directory place;
  node::head_options options;
  options.config = config;
  options.metrics_file = place / "metrics";
  node::event_writer nowhere(-1);
  const auto done = node::head(options, more, nowhere).run();
  INFO((done ? "" : done.error().text));
  REQUIRE(done);
  std::vector<nlohmann::json> result;
  std::ifstream file(place / "metrics");
  for (std::string line; std::getline(file, line);) result.push_back(nlohmann::json::parse(line));
  return result;
}

double distance(double got, double expected) {
  return std::abs(got - expected) / std::abs(expected);
}

} // namespace

TEST_CASE("fifty steps through the actors are those of the textbook", "[unit]") {
  const auto sizes = GENERATE(std::vector<std::int64_t>{22}, std::vector<std::int64_t>{6, 6, 5, 5});
  const auto config = awkward(static_cast<std::uint32_t>(sizes.size()), "noted");
  CAPTURE(sizes.size());
  auto notes = std::make_shared<choices>();
  extensions more;
  more.routers["noted"].make_f32 = [notes](const router_options& o, std::uint32_t) {
    return expected<std::unique_ptr<router<float>>>(
      std::make_unique<noted_router>(o.experts_per_token, notes));
  };
  const auto ours = trained(config, more);
  REQUIRE(ours.size() == steps);

  const auto factory = standard_factory(more);
  const auto data = factory.make_data(config).value();
  textbook book(config, shape_of(config, *data).value(), factory);
  std::map<std::int64_t, std::vector<std::int32_t>> chosen;
  for (std::uint64_t step = 0; step < steps; ++step) {
    const auto theirs = book.train(data->read(step_kind::train, 0, step * 22, 22), sizes, chosen);
    const auto& layer = ours[step]["layers"][0];
    CAPTURE(step);
    CHECK(distance(ours[step]["loss"], theirs.loss) <= 1e-6); // 2.3e-7 at most where it was written
    CHECK(distance(layer["switch"], theirs.balance) <= 1e-6);
    CHECK(distance(layer["z"], theirs.z) <= 1e-6);
  }
  CHECK(notes->repeats == 0);
  CHECK(chosen.size() == steps * 22);
  CHECK(notes->by_row == chosen);
  // Training it was: the loss fell.
  CHECK(ours.back()["loss"].get<double>() < 0.5 * ours.front()["loss"].get<double>());
}
