#include "launcher/ablate/cell_runner.hpp"

#include "launcher/ablate/metrics.hpp"
#include "launcher/console.hpp"
#include "launcher/format.hpp"
#include "launcher/node_program.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

namespace troupe::ablate {

using namespace launcher;

namespace {

constexpr std::size_t last_words_max = 3;

/// Why a process that said nothing itself has failed.
std::string end_text(const child& ended) {
  auto text = "[cell] process " + std::to_string(ended.pid()) + " " + ended.status()->text();
  for (const auto& line : ended.last_words(last_words_max)) text += "; " + line;
  return text;
}

} // namespace

cell_runner::cell_runner(supervisor& children, const result_store& store, ablation& all,
                         std::deque<std::size_t> todo, std::size_t jobs)
  : children_(children), store_(store), all_(all), todo_(std::move(todo)), jobs_(jobs),
    terminal_(terminal::detect()), display_(terminal_.live), began_(clock::now()) {
  counts_.all = all_.cells.size();
  counts_.earlier = counts_.all - todo_.size();
}

expected<void> cell_runner::run() {
  start_next();
  children_.run(*this);
  display_.clear();
  if (fatal_) return tl::unexpected(*fatal_);
  return {};
}

// ---- starting -------------------------------------------------------------------------------------------------------

void cell_runner::start_next() {
  while (running_.size() < jobs_ && !todo_.empty() && !children_.stopping()) {
    const auto next = todo_.front();
    todo_.pop_front();
    start(next);
  }
  show();
}

void cell_runner::start(std::size_t cell) {
  auto options = all_.cells[cell].options;
  options.metrics_file = store_.metrics_path(all_.cells[cell]);
  const auto started = children_.start(head_of(options));
  if (!started) return give_up(started.error());
  auto& made = running_[*started];
  made.cell = cell;
  made.progress.name = all_.cells[cell].name;
}

// ---- events ---------------------------------------------------------------------------------------------------------

void cell_runner::on_event(child& from, const any_event& what) {
  const auto found = running_.find(&from);
  if (found == running_.end()) return;
  auto& job = found->second;
  if (const auto* event = std::get_if<start_event>(&what)) job.progress.steps = event->train_steps;
  if (const auto* event = std::get_if<step_event>(&what)) job.progress.last = *event;
  if (const auto* event = std::get_if<digest_event>(&what)) job.digest = event->sha256;
  if (const auto* event = std::get_if<warning_event>(&what)) job.warnings.push_back(event->text);
  if (const auto* event = std::get_if<error_event>(&what)) job.error = event->text;
  if (const auto* event = std::get_if<done_event>(&what)) job.done = *event;
  show();
}

void cell_runner::on_broken_event(child& from, const error& why) {
  if (const auto found = running_.find(&from); found != running_.end()) found->second.error = why.text;
  from.send(SIGKILL);
}

void cell_runner::on_end(child& ended) {
  auto job = std::move(running_.at(&ended));
  running_.erase(&ended);
  conclude(ended, job);
  std::error_code ignored;
  std::filesystem::remove(store_.metrics_path(all_.cells[job.cell]), ignored);
  start_next();
}

/// A process that finished its run is kept even when it was asked to end in the meantime.
void cell_runner::conclude(const child& ended, job& of) {
  const bool complete = of.done && of.error.empty() && ended.status()->success();
  if (complete) {
    auto result = result_of(of);
    return result ? keep(of, std::move(*result)) : fail_cell(of.cell, result.error().text);
  }
  if (children_.stopping()) return; // it runs again at the next start
  fail_cell(of.cell, of.error.empty() ? end_text(ended) : of.error);
}

expected<cell_result> cell_runner::result_of(const job& of) const {
  const auto& cell = all_.cells[of.cell];
  std::ifstream metrics(store_.metrics_path(cell));
  auto result = condense(metrics);
  if (!result) return result;
  result->hash = cell.hash;
  result->version = all_.version;
  result->digest = of.digest;
  result->warnings = of.warnings;
  if (of.done->samples_per_second > 0)
    result->measures.push_back({"samples_per_second", of.done->samples_per_second, {}});
  result->measures.push_back({"seconds", of.done->seconds, {}});
  return result;
}

void cell_runner::keep(const job& of, cell_result result) {
  if (const auto saved = store_.save(result); !saved) return give_up(saved.error());
  ++counts_.finished;
  say(of.cell, fmt::format("accuracy {:.4f} | load max/mean {:.2f} | {}", result.find("accuracy")->value,
                           result.find("load_max_over_mean")->value, duration(of.done->seconds)));
  all_.outcomes[of.cell].result = std::move(result);
}

void cell_runner::fail_cell(std::size_t cell, const std::string& why) {
  ++counts_.failed;
  all_.outcomes[cell].error = why;
  display_.clear();
  print_warning("cell " + all_.cells[cell].name + " failed: " + why);
}

void cell_runner::give_up(const error& why) {
  if (!fatal_) fatal_ = why;
  todo_.clear();
  children_.stop(supervisor::failure_grace);
}

void cell_runner::on_interrupt() {
  display_.clear();
  print_notice("stopping ... (Ctrl-C again stops at once)");
}

void cell_runner::on_suspend() {
  display_.clear();
}

// ---- words ----------------------------------------------------------------------------------------------------------

void cell_runner::show() {
  if (!terminal_.live || children_.stopping() || running_.empty()) return;
  std::vector<running_cell> running;
  for (const auto& [process, job] : running_) running.push_back(job.progress);
  std::ranges::sort(running, {}, &running_cell::name);
  const std::chrono::duration<double> passed = clock::now() - began_;
  display_.draw(progress_lines(counts_, running, seconds_left(counts_, running, passed.count()),
                               terminal_columns() - 1, terminal_.utf8));
}

void cell_runner::say(std::size_t cell, const std::string& text) {
  std::vector<running_cell> running;
  for (const auto& [process, job] : running_) running.push_back(job.progress);
  const std::chrono::duration<double> passed = clock::now() - began_;
  const auto left = seconds_left(counts_, running, passed.count());
  const auto end = terminal_.live || counts_.left() == 0 || left < 0 ? std::string()
                                                                     : " | " + duration(left) + " left";
  display_.print_above(fmt::format("[{}/{}] {} | {}{}", counts_.all - counts_.left(), counts_.all,
                                   all_.cells[cell].name, text, end));
}

} // namespace troupe::ablate
