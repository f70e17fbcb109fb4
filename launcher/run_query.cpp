#include "launcher/commands.hpp"
#include "launcher/console.hpp"
#include "launcher/node_program.hpp"
#include "launcher/status_table.hpp"
#include "launcher/supervisor.hpp"

#include <spdlog/fmt/fmt.h>

#include <optional>

namespace troupe::launcher {

namespace {

/// One short process that asks a head something and prints the answer.
class query_watcher : public listener {
public:
  void on_event(child&, const any_event& what) override {
    if (const auto* problem = std::get_if<error_event>(&what))
      problem_ = problem_.value_or(error{problem->code, problem->text});
  }

  void on_broken_event(child&, const error& why) override { problem_ = problem_.value_or(why); }

  void on_end(child& ended) override {
    answer_ = ended.output();
    if (ended.status()->success() || problem_) return;
    const auto words = ended.last_words(1);
    problem_ = error{error_code::unavailable,
                     words.empty() ? "[" + ended.name() + "] " + ended.status()->text() : words.front()};
  }

  void on_interrupt() override {
    // nop
  }

  void on_suspend() override {
    // nop
  }

  expected<std::string> result() const {
    if (problem_) return tl::unexpected(*problem_);
    return answer_;
  }

private:
  std::optional<error> problem_;
  std::string answer_;
};

/// The exit code, and the answer where there is one.
struct asked {
  int code = exit_success;
  std::string answer;
};

asked ask(const child_options& options) {
  supervisor children;
  if (const auto started = children.start(options); !started) return {print_error(started.error()), {}};
  query_watcher watcher;
  children.run(watcher);
  if (children.interrupted()) return {exit_interrupted, {}};
  const auto result = watcher.result();
  if (!result) return {print_error(result.error()), {}};
  return {exit_success, *result};
}

} // namespace

int run_status(const query_options& options) {
  const auto [code, answer] = ask(status_of(options));
  if (code != exit_success) return code;
  if (options.json) {
    fmt::print("{}", answer);
    return exit_success;
  }
  const auto table = status_table(answer);
  if (!table) return print_error(table.error());
  fmt::print("{}", *table);
  return exit_success;
}

int run_drain(const query_options& options) {
  const auto [code, answer] = ask(drain_of(options));
  if (code == exit_success)
    fmt::print("{}", answer.empty() ? options.node + " has handed its experts over\n" : answer);
  return code;
}

} // namespace troupe::launcher
