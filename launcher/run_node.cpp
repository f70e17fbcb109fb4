#include "launcher/address.hpp"
#include "launcher/commands.hpp"
#include "launcher/console.hpp"
#include "launcher/node_program.hpp"
#include "launcher/supervisor.hpp"

#include <spdlog/fmt/fmt.h>

#include <optional>

namespace troupe::launcher {

namespace {

/// Follows one process that joins a run elsewhere.
class join_watcher : public listener {
public:
  join_watcher(supervisor& children, const node_options& options) : children_(children), options_(options) {}

  void on_event(child&, const any_event& what) override {
    if (const auto* joined = std::get_if<joined_event>(&what))
      see(*joined);
    else if (const auto* node = std::get_if<node_event>(&what))
      say(fmt::format("Node {} {}{}", node->name, node->state,
                      node->reason.empty() ? "" : ": " + node->reason));
    else if (const auto* warning = std::get_if<warning_event>(&what))
      print_warning(warning->text);
    else if (const auto* problem = std::get_if<error_event>(&what))
      failure_ = failure_.value_or(failure{error{problem->code, problem->text}, {}, {}});
  }

  void on_broken_event(child&, const error& why) override {
    failure_ = failure_.value_or(failure{why, {}, {}});
    children_.stop(supervisor::failure_grace);
  }

  void on_end(child& ended) override {
    if (&ended == drain_) return on_drain_end();
    if (ended.status()->success() || failure_ || children_.interrupted()) return;
    failure_ = failure{error{error_code::internal, fmt::format("[node] {} (process {}) {}", ended.name(),
                                                               ended.pid(), ended.status()->text())},
                       ended.name(), ended.last_words(10)};
  }

  /// The first time, the node is asked to hand its experts over, so that the run goes on without it.
  bool absorbs_interrupt() override {
    if (number_.empty() || drain_ != nullptr) return false;
    query_options drain;
    drain.head = options_.join;
    drain.node = number_;
    drain.node_program = options_.node_program;
    const auto started = children_.start(drain_of(drain));
    if (!started) return false;
    drain_ = *started;
    print_notice("handing the experts over ... (Ctrl-C again leaves at once, which ends the run)");
    return true;
  }

  void on_interrupt() override {
    print_notice(number_.empty() ? "leaving ... (Ctrl-C again stops at once)"
                                 : "leaving, which ends the run ... (Ctrl-C again stops at once)");
  }

  void on_suspend() override {
    // nop
  }

  int conclude() const {
    if (children_.interrupted()) return exit_interrupted;
    if (!failure_) return exit_success;
    const auto code = print_error(failure_->problem);
    print_last_words(failure_->name, failure_->last_words);
    return code;
  }

private:
  void see(const joined_event& event) {
    number_ = std::to_string(event.node);
    const auto& name = event.name.empty() ? options_.name : event.name;
    const auto taken = options_.name.empty() || name == options_.name ? ""
                                                                      : " (" + options_.name + " is taken)";
    say(fmt::format(
      "Joined run {} at {} as {}{}; to leave without ending the run: Ctrl-C once, or troupe drain "
      "{} --head {}",
      event.run_id, options_.join, name, taken, name, options_.join));
    caution();
  }

  void on_drain_end() {
    if (drain_->status()->success() || children_.interrupted() || !children_.children().front().running())
      return;
    print_warning(answer_of(*drain_).error().text + "; Ctrl-C again leaves at once, which ends the run");
  }

  /// Of a head on another machine.
  void caution() const {
    if (const auto where = parse_address("--join", options_.join); where && !where->loopback())
      print_warning("--join: the connection to " + options_.join
                    + " is not encrypted; use a network you trust");
  }

  static void say(const std::string& line) {
    print_text(line + "\n");
    flush_text();
  }

  supervisor& children_;
  const node_options& options_;
  std::string number_; ///< that the head gave the node; empty: it has not joined yet
  const child* drain_ = nullptr;
  std::optional<failure> failure_;
};

} // namespace

int run_node(const node_options& options) {
  std::string configuration;
  if (!options.config_file.empty()) {
    const auto of_file = configuration_of_file(options.config_file);
    if (!of_file) return print_error(of_file.error());
    configuration = to_json(*of_file);
  }
  supervisor children;
  if (const auto started = children.start(node_of(options, configuration)); !started)
    return print_error(started.error());
  join_watcher watcher(children, options);
  children.run(watcher);
  return watcher.conclude();
}

} // namespace troupe::launcher
