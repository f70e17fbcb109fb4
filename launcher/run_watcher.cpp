#include "launcher/run_watcher.hpp"

#include "launcher/address.hpp"
#include "launcher/format.hpp"

#include <spdlog/fmt/fmt.h>

#include <csignal>

namespace troupe::launcher {

namespace {

/// After the head has said `done` everything ends by itself; what has not by then is asked to.
constexpr std::chrono::milliseconds done_patience{10000};
/// When a node has died: so that the head, which notices, too, can tell the nodes of other machines.
constexpr std::chrono::milliseconds notice_patience{500};
constexpr std::size_t last_words_max = 10;

/// Whether a child ended by something else than our asking.
bool surprising(const child& ended) {
  const auto& status = *ended.status();
  if (status.success()) return false;
  if (ended.sent() == 0) return true;
  return status.signal != 0 && status.signal != SIGTERM && status.signal != ended.sent();
}

} // namespace

run_watcher::run_watcher(supervisor& children, watch_options options)
  : children_(children), options_(std::move(options)), terminal_(terminal::detect()),
    display_(terminal_.live) {
  display_.draw({"starting ..."});
}

// ---- events ---------------------------------------------------------------------------------------------------------

void run_watcher::on_event(child& from, const any_event& what) {
  std::visit([&](const auto& each) { see(from, each); }, what);
}

void run_watcher::see(child&, const unknown_event&) {
  // nop
}

void run_watcher::see(child& from, const listening_event& event) {
  const address where{event.host, event.port};
  if (!options_.invitation.empty())
    say(fmt::format("Listening at {} (run {}); {}: {}", where.text(), event.run_id,
                    options_.local_nodes == 0 ? "waiting for a node" : "join with",
                    fmt::format(fmt::runtime(options_.invitation), where.from_elsewhere().text())));
  if (!options_.caution.empty()) complain(options_.caution);
  if (options_.local_nodes > 0)
    display_.draw(
      {fmt::format("starting {} node{} ...", options_.local_nodes, options_.local_nodes == 1 ? "" : "s")});
  else if (!options_.invitation.empty())
    display_.draw({"waiting for a node ..."});
  if (!options_.start_nodes) return;
  if (const auto started = options_.start_nodes(event); !started && !children_.stopping())
    fail_run(from, started.error(), weight::ended);
}

void run_watcher::see(child& from, const node_event& event) {
  if (!is_head(from)) return;                                   // the head says the same, of all nodes
  if (children_.interrupted() && event.state == "lost") return; // it was asked to end
  const auto reason = event.reason.empty() ? std::string() : ": " + event.reason;
  if (event.state == "joined") ++joined_;
  if (event.state == "joined" && joined_ <= options_.local_nodes && !step_)
    display_.draw({fmt::format("{} of {} node{} joined ...", joined_, options_.local_nodes,
                               options_.local_nodes == 1 ? "" : "s")});
  else if (!(done_ && event.state == "left"))
    say(fmt::format("Node {} {}{}", event.name,
                    event.state == "draining" ? "hands its experts over" : event.state, reason));
}

void run_watcher::see(child&, const joined_event&) {
  // The head says the same, of all nodes.
}

void run_watcher::see(child&, const idle_event& event) {
  idle_ = {event.names.begin(), event.names.end()};
}

void run_watcher::see(child&, const start_event& event) {
  start_ = event;
}

void run_watcher::see(child&, const step_event& event) {
  if (!step_) {
    first_step_at_ = clock::now();
    first_step_ = event.step;
  }
  step_ = event;
  if (terminal_.live)
    display_.draw(live_lines(event, start_, seconds_left(), terminal_columns() - 1, terminal_.utf8));
  else if (options_.log_interval > 0 && event.step % options_.log_interval == 0)
    say(step_line(event, start_.aux_name));
}

void run_watcher::see(child&, const evaluation_event& event) {
  evaluation_ = event;
  if (training()) say(evaluation_line(event, step_ ? step_->step : 0, start_.steps_per_epoch));
}

void run_watcher::see(child&, const digest_event& event) {
  say("digest " + event.sha256);
}

void run_watcher::see(child&, const saved_event& event) {
  saved_ = true;
  say("Saved to " + event.directory);
}

void run_watcher::see(child&, const warning_event& event) {
  complain(event.text);
}

void run_watcher::see(child& from, const error_event& event) {
  reported_.insert(&from);
  if (event.code == error_code::run_failed) return; // the head says it, too, and better
  if (is_idle(from)) return complain(from.name() + ": " + event.text + "; the run goes on without it");
  fail_run(from, error{event.code, is_head(from) ? event.text : from.name() + ": " + event.text},
           weight::reported);
}

void run_watcher::see(child&, const done_event& event) {
  done_ = event;
  children_.stop_after(done_patience);
}

void run_watcher::on_broken_event(child& from, const error& why) {
  fail_run(from, why, weight::reported);
}

// ---- ends -----------------------------------------------------------------------------------------------------------

void run_watcher::on_end(child& ended) {
  if (children_.interrupted()) return;
  if (is_head(ended)) return on_head_end(ended);
  if (!surprising(ended) || reported_.contains(&ended)) return;
  const auto what = fmt::format("[run] node {} (process {}) {}{}", ended.name(), ended.pid(),
                                ended.status()->text(), where());
  if (is_idle(ended)) return complain(what + "; it had no experts, the run goes on without it");
  fail_run(ended, error{error_code::unavailable, what + "; the run cannot go on without it: start it again"},
           weight::ended);
}

void run_watcher::on_head_end(child& ended) {
  const auto text = [&](const char* remedy) {
    return fmt::format("[run] head (process {}) {}{}; {}", ended.pid(), ended.status()->text(), where(),
                       remedy);
  };
  const bool said_why = reported_.contains(&ended);
  if (surprising(ended) && !said_why)
    fail_run(ended, error{error_code::unavailable, text("the run is over: start it again")}, weight::ended);
  else if (!done_ && !said_why && !children_.stopping())
    fail_run(ended,
             error{error_code::internal, text("it did not say that the run was done: please report this")},
             weight::ended);
  children_.stop_after(done_patience);
}

void run_watcher::fail_run(child& from, error problem, weight how) {
  if (!children_.interrupted() && how > failure_weight_) {
    auto last_words = from.running() ? std::vector<std::string>() : from.last_words(last_words_max);
    failure_ = failure{std::move(problem), from.name(), std::move(last_words)};
    failure_weight_ = how;
  }
  if (is_head(from))
    children_.stop(supervisor::failure_grace);
  else
    children_.stop_after(notice_patience);
}

void run_watcher::on_interrupt() {
  display_.clear();
  print_notice("stopping ... (Ctrl-C again stops at once)");
}

void run_watcher::on_suspend() {
  display_.clear();
}

int run_watcher::conclude() {
  display_.clear();
  if (children_.interrupted()) {
    print_notice("interrupted" + where() + (options_.saves && !saved_ ? "; no model was saved" : ""));
    return exit_interrupted;
  }
  if (done_ || !failure_) print_summary();
  if (failure_) {
    const auto code = print_error(failure_->problem);
    print_last_words(failure_->name, failure_->last_words);
    return code;
  }
  return exit_success;
}

// ---- words ----------------------------------------------------------------------------------------------------------

bool run_watcher::is_head(const child& which) const {
  return &which == &children_.children().front();
}

void run_watcher::say(const std::string& line) {
  display_.print_above(line);
}

void run_watcher::complain(const std::string& text) {
  display_.clear();
  print_warning(text);
}

std::string run_watcher::where() const {
  return step_ ? fmt::format(" at step {} of {}", step_->step, step_->of) : std::string();
}

double run_watcher::seconds_left() const {
  const std::chrono::duration<double> passed = clock::now() - first_step_at_;
  if (!step_ || step_->step <= first_step_ || step_->of < step_->step || passed.count() < 0.5) return -1;
  return passed.count() / static_cast<double>(step_->step - first_step_)
         * static_cast<double>(step_->of - step_->step);
}

void run_watcher::print_summary() const {
  if (training() && done_)
    print_text(fmt::format("Trained {} step{} in {:.1f}s{}\n", grouped_count(start_.train_steps),
                           start_.train_steps == 1 ? "" : "s", done_->seconds,
                           done_->samples_per_second > 0
                             ? fmt::format(", {} samples/s", short_count(done_->samples_per_second))
                             : ""));
  if (evaluation_)
    print_text(fmt::format("Test accuracy: {:.4f} ({} rows, loss {:.4f})\n", evaluation_->accuracy,
                           grouped_count(evaluation_->rows), evaluation_->loss));
  if (step_ && !step_->losses.empty()) print_text(losses_line(*step_) + "\n");
  const auto& rows = evaluation_ ? evaluation_->expert_rows : step_ ? step_->expert_rows : rows_per_expert();
  if (rows.empty()) return;
  print_text(fmt::format("Load of each expert over {}:\n", evaluation_ ? "the test data" : "the last step"));
  for (const auto& line : load_table(rows, terminal_.utf8)) print_text(fmt::format("{}\n", line));
}

} // namespace troupe::launcher
