#include "launcher/commands.hpp"
#include "launcher/console.hpp"
#include "launcher/node_program.hpp"
#include "launcher/status_table.hpp"
#include "launcher/supervisor.hpp"

#include <spdlog/fmt/fmt.h>

namespace troupe::launcher {

namespace {

/// One short process that asks a head something.
class query_watcher : public listener {
public:
  void on_event(child&, const any_event&) override {
    // it reports none
  }

  void on_broken_event(child&, const error&) override {
    // as above
  }

  void on_end(child& ended) override { result_ = answer_of(ended); }

  void on_interrupt() override {
    // nop
  }

  void on_suspend() override {
    // nop
  }

  const expected<std::string>& result() const { return result_; }

private:
  expected<std::string> result_ = fail(error_code::internal, "[query] the node program has not ended");
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
  const auto& result = watcher.result();
  if (!result) return {print_error(result.error()), {}};
  return {exit_success, *result};
}

} // namespace

int run_status(const query_options& options) {
  const auto [code, answer] = ask(status_of(options));
  if (code != exit_success) return code;
  if (options.json) {
    print_text(answer);
    return exit_success;
  }
  const auto table = status_table(answer);
  if (!table) return print_error(table.error());
  print_text(*table);
  return exit_success;
}

int run_drain(const query_options& options) {
  const auto code = ask(drain_of(options)).code;
  if (code == exit_success)
    print_text(fmt::format("{} hands its experts over and leaves; `troupe status {}` shows when it is gone\n",
                           options.node, options.head));
  return code;
}

} // namespace troupe::launcher
