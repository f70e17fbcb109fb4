#include "launcher/node/recorder.hpp"

#include "launcher/node/layer_report.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <utility>

namespace troupe::node {

nlohmann::ordered_json or_null(std::optional<double> value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

namespace {

constexpr std::size_t rate_window = 64;
constexpr double event_spacing_seconds = 0.05; ///< at most 20 events a second besides the log lines

/// Mean over the layers; nothing where no layer has measured it.
std::optional<double> measured(const step_record& r, const std::string& name) {
  std::optional<double> sum;
  for (auto& layer : r.values)
    if (auto i = layer.find(name); i != layer.end()) sum = sum.value_or(0) + i->second;
  if (sum) *sum /= static_cast<double>(r.values.size());
  return sum;
}

/// Each measured loss of the router, with its value at perfect balance.
nlohmann::ordered_json mean_losses(const step_record& r, const model_options& model) {
  auto losses = nlohmann::ordered_json::object();
  for (const auto& loss : model.router.losses)
    if (const auto value = measured(r, loss.name))
      losses[loss.name] = {{"value", *value}, {"at_balance", loss_at_balance(loss.name, model)}};
  return losses;
}

std::uint64_t dead_experts(const step_record& r) {
  std::uint64_t dead = 0;
  for (auto& layer : r.expert_rows) dead += static_cast<std::uint64_t>(std::ranges::count(layer, 0u));
  return dead;
}

/// Adds element by element; `into` grows to the size of `more`.
void add_to(std::vector<std::uint64_t>& into, const std::vector<std::uint64_t>& more) {
  into.resize(std::max(into.size(), more.size()));
  std::ranges::transform(more, into, into.begin(), std::plus<>());
}

void add_layers(step_record& into, const microbatch_report& m, double weight) {
  into.expert_rows.resize(std::max(into.expert_rows.size(), m.layers.size()));
  into.values.resize(std::max(into.values.size(), m.layers.size()));
  for (std::size_t l = 0; l < m.layers.size(); ++l) {
    add_to(into.expert_rows[l], m.layers[l].expert_rows);
    for (auto& v : m.layers[l].values) into.values[l][v.name] += weight * v.value;
  }
}

/// Rows that the experts of each node got (shared experts, the last of a layer, get every row), and its
/// bytes.
std::map<node_id, node_rates> sums_by_node(const std::vector<node_id>& placement, std::size_t owners,
                                           const step_record& r) {
  std::map<node_id, node_rates> result;
  for (auto& [node, t] : r.traffic)
    result[node] = {0, static_cast<double>(t.bytes_sent), static_cast<double>(t.bytes_received)};
  for (std::size_t i = 0; i < placement.size(); ++i) {
    if (i / owners >= r.expert_rows.size()) break; // a trunk of somebody's own may tell nothing
    const auto& routed = r.expert_rows[i / owners];
    result[placement[i]].rows += static_cast<double>(i % owners < routed.size() ? routed[i % owners]
                                                                                : r.rows);
  }
  return result;
}

/// [[rows per class] per expert] of a row-major table.
nlohmann::ordered_json by_expert(const std::vector<std::uint64_t>& table, std::size_t experts) {
  auto rows = nlohmann::ordered_json::array();
  const auto classes = experts == 0 ? 0 : table.size() / experts;
  for (std::size_t e = 0; e < experts && classes > 0; ++e)
    rows.push_back(
      std::vector<std::uint64_t>(table.begin() + static_cast<std::ptrdiff_t>(e * classes),
                                 table.begin() + static_cast<std::ptrdiff_t>((e + 1) * classes)));
  return rows;
}

} // namespace

std::uint64_t step_record::bytes_sent() const {
  std::uint64_t sum = 0;
  for (auto& t : traffic) sum += t.second.bytes_sent;
  return sum;
}

step_record record_of(const step_summary& summary) {
  step_record r;
  r.rows = summary.permission.rows;
  std::vector<const microbatch_report*> ordered;
  for (auto& replica : summary.replicas) {
    for (auto& m : replica.microbatches) ordered.push_back(&m);
    for (auto& p : replica.phases) r.phases[p.phase] += p.microseconds;
    for (auto& t : replica.traffic) {
      auto& sum = r.traffic[t.node];
      sum.bytes_sent += t.bytes_sent;
      sum.bytes_received += t.bytes_received;
    }
    r.bytes_copied += replica.bytes_copied;
  }
  r.phases["expert_forward"] += summary.expert_forward_us;
  r.phases["expert_backward"] += summary.expert_backward_us;
  r.phases["apply"] += summary.apply_us;
  std::ranges::sort(ordered, {}, &microbatch_report::microbatch);
  for (auto* m : ordered) {
    const auto weight = static_cast<double>(m->rows) / static_cast<double>(r.rows);
    r.loss += weight * m->loss;
    r.correct += m->correct;
    add_to(r.expert_class, m->expert_class);
    add_layers(r, *m, weight);
  }
  return r;
}

recorder::recorder(const head_options& options, std::uint64_t updates, std::uint64_t steps_per_epoch,
                   event_writer& events)
  : options_(options), updates_(updates), steps_per_epoch_(std::max<std::uint64_t>(1, steps_per_epoch)),
    events_(events) {
  // nop
}

expected<void> recorder::open() {
  if (options_.metrics_file.empty()) return {};
  if (std::error_code failed; std::filesystem::is_directory(options_.metrics_file, failed))
    return fail(error_code::unavailable,
                "--metrics-file: got the directory " + options_.metrics_file + "; name a file, such as "
                  + (std::filesystem::path(options_.metrics_file) / "metrics.jsonl").string());
  metrics_.open(options_.metrics_file, std::ios::trunc);
  if (!metrics_)
    return fail(error_code::unavailable, "--metrics-file: cannot write " + options_.metrics_file
                                           + "; choose a folder that exists and is writable");
  return {};
}

std::optional<double> recorder::samples_per_second() const {
  if (recent_.size() < 2 || recent_.back().seconds <= recent_.front().seconds) return {};
  std::uint64_t rows = 0;
  for (std::size_t i = 1; i < recent_.size(); ++i) rows += recent_[i].rows;
  return static_cast<double>(rows) / (recent_.back().seconds - recent_.front().seconds);
}

std::optional<double> recorder::steps_per_second() const {
  if (recent_.size() < 2 || recent_.back().seconds <= recent_.front().seconds) return {};
  return static_cast<double>(recent_.size() - 1) / (recent_.back().seconds - recent_.front().seconds);
}

std::optional<double> recorder::samples_per_second_of_run() const {
  if (seconds_total_ <= 0) return {};
  return static_cast<double>(rows_total_) / seconds_total_;
}

std::map<node_id, node_rates> recorder::rates() const {
  const auto per_second = steps_per_second();
  std::map<node_id, node_rates> result;
  if (!per_second) return result;
  for (auto& [node, sums] : last_node_sums_)
    result[node] = {sums.rows * *per_second, sums.bytes_in * *per_second, sums.bytes_out * *per_second};
  return result;
}

bool recorder::take(const step_summary& summary, double seconds) {
  const auto r = record_of(summary);
  const auto began = std::exchange(last_end_, seconds);
  if (summary.permission.kind != step_kind::train) {
    evaluation_step(summary, r);
    return false;
  }
  if (began >= 0 && summary.permission.ordinal == steps_done_) { // no step before it was left out
    rows_total_ += r.rows;
    seconds_total_ += seconds - began;
  }
  return training_step(summary, r, seconds);
}

nlohmann::ordered_json recorder::step_event(const step_summary& summary, const step_record& r) const {
  const auto& model = options_.config.model;
  nlohmann::ordered_json event{{"event", "step"},
                               {"step", steps_done_},
                               {"of", updates_},
                               {"epoch", (steps_done_ - 1) / steps_per_epoch_},
                               {"loss", r.loss},
                               {"z", measured(r, "z").value_or(0)},
                               {"lr", summary.permission.learning_rate},
                               {"samples_per_second", or_null(samples_per_second())},
                               {"expert_rows", r.expert_rows},
                               {"entropy", measured(r, "entropy").value_or(0)},
                               {"dead_experts", dead_experts(r)},
                               {"phases_us", r.phases},
                               {"bytes_sent", r.bytes_sent()}};
  if (const auto aux = measured(r, shown_balance_loss(model.router))) event["aux"] = *aux;
  if (steps_done_ == updates_) event["losses"] = mean_losses(r, model);
  return event;
}

bool recorder::training_step(const step_summary& summary, const step_record& r, double seconds) {
  steps_done_ = summary.permission.ordinal + 1;
  recent_.push_back({seconds, r.rows});
  if (recent_.size() > rate_window) recent_.erase(recent_.begin());
  if (steps_done_ == updates_ / 5 + 1) {
    bench_begin_ = seconds;
  } else if (steps_done_ > updates_ / 5 + 1) {
    ++bench_steps_;
    bench_rows_ += r.rows;
    bench_end_ = seconds;
    for (auto& [phase, us] : r.phases) bench_phases_[phase] += us;
    bench_bytes_sent_ += r.bytes_sent();
    bench_bytes_copied_ += r.bytes_copied;
  }
  watch_for_collapse(r);
  const auto logged = options_.log_interval > 0 && steps_done_ % options_.log_interval == 0;
  const auto due = seconds - last_event_seconds_ >= event_spacing_seconds || steps_done_ == updates_;
  const auto told = logged || due;
  if (!told && !metrics_.is_open()) return false;
  auto event = step_event(summary, r);
  if (told) last_ = event;
  if (metrics_.is_open()) write_metrics(std::move(event), summary, r);
  if (!told) return false;
  last_event_seconds_ = seconds;
  last_node_sums_ = sums_by_node(summary.permission.placement, options_.config.model.owners_per_layer(), r);
  if (logged || steps_done_ == updates_)
    events_.write(last_);
  else
    events_.write_if_read(last_);
  return true;
}

void recorder::evaluation_step(const step_summary& summary, const step_record& r) {
  auto& e = evaluation_;
  e.loss += r.loss * static_cast<double>(r.rows);
  e.rows += r.rows;
  e.correct += r.correct;
  e.expert_rows.resize(r.expert_rows.size());
  for (std::size_t l = 0; l < r.expert_rows.size(); ++l) add_to(e.expert_rows[l], r.expert_rows[l]);
  add_to(e.expert_class, r.expert_class);
  if (!summary.entry.last_of_evaluation) return;
  const auto rows = static_cast<double>(e.rows);
  nlohmann::ordered_json event{{"event", "evaluation"},
                               {"accuracy", e.correct / rows},
                               {"loss", e.loss / rows},
                               {"rows", e.rows},
                               {"epoch", summary.entry.updates_before / steps_per_epoch_},
                               {"expert_rows", e.expert_rows}};
  if (!e.expert_class.empty()) event["expert_class"] = by_expert(e.expert_class, e.expert_rows[0].size());
  events_.write(event);
  if (metrics_.is_open()) metrics_ << event.dump() << '\n' << std::flush;
  evaluation_ = {};
}

/// Warns of each layer once.
void recorder::watch_for_collapse(const step_record& r) {
  while (watches_.size() < r.expert_rows.size()) watches_.emplace_back(options_.config.model.router);
  for (std::size_t l = 0; l < r.expert_rows.size(); ++l)
    if (const auto text = watches_[l].take(r.expert_rows[l]))
      events_.write(
        {{"event", "warning"},
         {"text", (r.expert_rows.size() == 1 ? "" : "layer " + std::to_string(l) + ": ") + *text}});
}

void recorder::write_metrics(nlohmann::ordered_json line, const step_summary& summary, const step_record& r) {
  if (summary.permission.clip_norm > 0 && !summary.permission.clip_local)
    line["gradient_norm"] = summary.gradient_norm;
  line["bytes_copied"] = r.bytes_copied;
  if (summary.permission.placement != placement_)
    line["placement"] = placement_ = summary.permission.placement;
  line["layers"] = layer_reports(r, options_.config.model);
  metrics_ << line.dump() << '\n';
  if (steps_done_ == updates_) metrics_ << std::flush;
}

expected<void> recorder::close_metrics(std::uint64_t left_out) {
  if (!metrics_.is_open()) return {};
  metrics_.close();
  if (metrics_ && left_out > 0)
    return fail(error_code::over_limit, "--metrics-file: steps left out of " + options_.metrics_file
                                          + ": got " + std::to_string(left_out)
                                          + ", limit 0; choose a faster disk, and read what is printed");
  if (metrics_) return {};
  return fail(error_code::unavailable, "--metrics-file: cannot write all of " + options_.metrics_file
                                         + "; is there room on the disk?");
}

nlohmann::ordered_json recorder::progress() const {
  auto result = last_.is_null() ? nlohmann::ordered_json::object() : last_;
  if (!last_.is_null()) result["steps_per_second"] = or_null(steps_per_second());
  return result;
}

expected<void> recorder::write_bench() const {
  if (options_.bench_file.empty()) return {};
  const auto steps = static_cast<double>(std::max<std::uint64_t>(1, bench_steps_));
  const auto seconds = std::max(1e-9, bench_end_ - bench_begin_);
  nlohmann::ordered_json phases = nlohmann::ordered_json::object();
  for (auto& [phase, us] : bench_phases_) phases[phase] = us / steps;
  std::ofstream file(options_.bench_file);
  file << nlohmann::ordered_json{{"samples_per_second", static_cast<double>(bench_rows_) / seconds},
                                 {"ms_per_step", 1e3 * seconds / steps},
                                 {"steps", bench_steps_},
                                 {"phases_us", phases},
                                 {"payload_bytes_copied_per_step",
                                  static_cast<double>(bench_bytes_copied_) / steps},
                                 {"bytes_sent_per_step", static_cast<double>(bench_bytes_sent_) / steps}}
            .dump(2)
       << '\n'
       << std::flush;
  if (!file) return fail(error_code::unavailable, "--bench-json: cannot write " + options_.bench_file);
  return {};
}

} // namespace troupe::node
