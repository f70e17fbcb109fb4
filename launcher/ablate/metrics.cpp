#include "launcher/ablate/metrics.hpp"

#include "model/routing/health.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace troupe::ablate {

namespace {

using nlohmann::json;
using counts = std::vector<std::uint64_t>;

/// Points of a curve over the run; fewer when there are many experts, so that reports stay small.
std::uint64_t spans_of(std::uint64_t steps, std::size_t experts) {
  const auto affordable = std::clamp<std::uint64_t>(6000 / std::max<std::size_t>(1, experts), 12, 60);
  return std::min(steps, affordable);
}

void add_to(counts& into, const counts& more) {
  into.resize(std::max(into.size(), more.size()));
  std::ranges::transform(more, into, into.begin(), std::plus<>());
}

class condenser {
public:
  void take(const json& event) {
    const auto name = event.value("event", std::string());
    if (name == "step") take_step(event);
    if (name == "evaluation") evaluation_ = event;
  }

  expected<cell_result> finish() {
    if (steps_ == 0) return fail(error_code::malformed, "[ablate] metrics of a cell: no training step");
    if (evaluation_.is_null())
      return fail(error_code::malformed, "[ablate] metrics of a cell: no evaluation");
    auto& measures = result_.measures;
    result_.steps = steps_;
    result_.experts = window_rows_.empty() ? 0 : window_rows_.front().size();
    measures.push_back({"accuracy", number(evaluation_, "accuracy"), {}});
    measures.push_back({"test_loss", number(evaluation_, "loss"), {}});
    add_load();
    add_means();
    result_.expert_class = evaluation_.value("expert_class", std::vector<counts>());
    return std::move(result_);
  }

private:
  static double number(const json& event, const std::string& name) {
    const auto found = event.find(name);
    return found == event.end() || !found->is_number() ? std::numeric_limits<double>::quiet_NaN()
                                                       : found->get<double>();
  }

  void take_step(const json& event) {
    const auto of = event.at("of").get<std::uint64_t>();
    const auto layers = event.at("expert_rows").get<std::vector<counts>>();
    steps_ = event.at("step").get<std::uint64_t>();
    if (!layers.empty()) add_to_series(of, layers.front());
    if (3 * steps_ <= 2 * of) return;
    window_rows_.resize(std::max(window_rows_.size(), layers.size()));
    for (std::size_t l = 0; l < layers.size(); ++l) add_to(window_rows_[l], layers[l]);
    for (const auto& layer : event.value("layers", json::array())) {
      for (const auto* name : {"dropped", "router_entropy_nats"})
        if (layer.contains(name)) means_[name].add(number(layer, name));
      const auto losses = layer.value("losses", json::object());
      for (const auto& [name, loss] : losses.items()) {
        losses_[name].add(number(loss, "value"));
        at_balance_[name] = number(loss, "at_balance");
      }
    }
  }

  void add_to_series(std::uint64_t of, const counts& rows) {
    auto& load = result_.load;
    const auto spans = spans_of(std::max(of, steps_), rows.size());
    const auto span = static_cast<std::size_t>((steps_ - 1) * spans / std::max(of, steps_));
    if (load.rows.size() <= span) {
      load.rows.resize(span + 1);
      load.steps.resize(span + 1);
    }
    add_to(load.rows[span], rows);
    load.steps[span] = steps_;
  }

  /// Of the layer with the fullest expert; dead experts of all layers.
  void add_load() {
    load_health worst;
    std::uint64_t dead = 0;
    for (const auto& rows : window_rows_) {
      const auto health = health_of(rows);
      dead += health.dead_experts;
      if (health.load_max_over_mean > worst.load_max_over_mean) worst = health;
    }
    auto& measures = result_.measures;
    measures.push_back({"load_max_over_mean", worst.load_max_over_mean, 1.0});
    const auto even = std::log(static_cast<double>(result_.experts));
    measures.push_back({"load_entropy_nats", worst.load_entropy_nats, even});
    measures.push_back({"dead_experts", static_cast<double>(dead), 0.0});
  }

  void add_means() {
    auto& measures = result_.measures;
    if (const auto found = means_.find("dropped"); found != means_.end())
      measures.push_back({"dropped_share", found->second.mean(), {}});
    if (const auto found = means_.find("router_entropy_nats"); found != means_.end())
      measures.push_back({"router_entropy_nats", found->second.mean(), {}});
    for (const auto& [name, values] : losses_)
      measures.push_back({"loss_" + name, values.mean(), at_balance_[name]});
  }

  struct sum_of_values {
    double sum = 0;
    std::uint64_t count = 0;
    void add(double value) {
      sum += value;
      ++count;
    }
    double mean() const { return sum / static_cast<double>(count); }
  };

  cell_result result_;
  std::uint64_t steps_ = 0;
  std::vector<counts> window_rows_; ///< by layer
  std::map<std::string, sum_of_values> means_;
  std::map<std::string, sum_of_values> losses_;
  std::map<std::string, double> at_balance_; ///< of the losses
  json evaluation_;
};

} // namespace

expected<cell_result> condense(std::istream& lines) {
  condenser all;
  try {
    for (std::string line; std::getline(lines, line);) all.take(json::parse(line));
    return all.finish();
  } catch (const json::exception& problem) {
    return fail(error_code::malformed, std::string("[ablate] metrics of a cell: ") + problem.what());
  }
}

} // namespace troupe::ablate
