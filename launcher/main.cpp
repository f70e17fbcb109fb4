#include "launcher/command_line.hpp"
#include "launcher/commands.hpp"
#include "launcher/console.hpp"

namespace {

using namespace troupe::launcher;

struct execute {
  int operator()(const show_text& shown) const {
    print_text(shown.text);
    return exit_success;
  }
  int operator()(const train_options& options) const { return run_train(options); }
  int operator()(const eval_options& options) const { return run_eval(options); }
  int operator()(const node_options& options) const { return run_node(options); }
  int operator()(const ablate_options& options) const { return run_ablate(options); }
  int operator()(const status_command& command) const { return run_status(command.options); }
  int operator()(const drain_command& command) const { return run_drain(command.options); }
};

} // namespace

int main(int argc, char** argv) {
  keep_standard_streams();
  const auto command = read_command_line({argv + 1, argv + argc});
  return print_end(command ? std::visit(execute(), *command) : print_error(command.error()));
}
