#include "launcher/commands.hpp"
#include "launcher/console.hpp"
#include "launcher/node_program.hpp"
#include "launcher/supervisor.hpp"

#include <spdlog/fmt/fmt.h>

#include <cstdio>
#include <optional>

namespace troupe::launcher {

namespace {

/// Follows one process that joins a run elsewhere.
class join_watcher : public listener {
public:
  join_watcher(supervisor& children, std::string head) : children_(children), head_(std::move(head)) {}

  void on_event(child& from, const any_event& what) override {
    if (const auto* joined = std::get_if<joined_event>(&what))
      say(fmt::format("Joined run {} at {} as {}; to leave without ending the run: troupe drain {} --head {}",
                      joined->run_id, head_, from.name(), from.name(), head_));
    else if (const auto* node = std::get_if<node_event>(&what))
      say(fmt::format("{} {}{}", node->name, node->state, node->reason.empty() ? "" : ": " + node->reason));
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
    if (ended.status()->success() || failure_ || children_.interrupted()) return;
    failure_ = failure{error{error_code::internal, fmt::format("[node] {} (process {}) {}", ended.name(),
                                                               ended.pid(), ended.status()->text())},
                       ended.name(), ended.last_words(10)};
  }

  void on_interrupt() override { print_notice("leaving ... (Ctrl-C again stops at once)"); }

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
  static void say(const std::string& line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }

  supervisor& children_;
  std::string head_;
  std::optional<failure> failure_;
};

} // namespace

int run_node(const node_options& options) {
  std::string hash;
  if (!options.config_file.empty()) {
    const auto of_file = configuration_hash_of_file(options.config_file);
    if (!of_file) return print_error(of_file.error());
    hash = *of_file;
  }
  supervisor children;
  if (const auto started = children.start(node_of(options, hash)); !started)
    return print_error(started.error());
  join_watcher watcher(children, options.join);
  children.run(watcher);
  return watcher.conclude();
}

} // namespace troupe::launcher
