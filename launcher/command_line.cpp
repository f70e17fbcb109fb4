#include "launcher/command_line.hpp"

#include "launcher/toml_config.hpp"
#include "launcher/version.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <algorithm>

namespace troupe::launcher {

namespace {

/// Options as `--flag VALUE   meaning [default]`, and others as `VALUE   meaning`; a flag's negative form
/// without CLI11's marks.
class help_formatter : public CLI::Formatter {
public:
  help_formatter() { column_width(36); }

  std::string make_option_name(const CLI::Option* option, bool positional) const override {
    if (positional) return option->get_type_name();
    auto text = CLI::Formatter::make_option_name(option, positional);
    const std::string mark = "{false}";
    if (const auto at = text.find(mark); at != std::string::npos) text.erase(at, mark.size());
    return text;
  }

  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_expected_max() == 0 || !option->nonpositional() ? "" : " " + option->get_type_name();
  }

  std::string make_option_desc(const CLI::Option* option) const override {
    auto text = option->get_description();
    if (option->get_required())
      text += " (required)";
    else if (!option->get_default_str().empty())
      text += " [" + option->get_default_str() + "]";
    return text;
  }
};

/// The whole command line: one parser with a subcommand per command.
struct parser {
  CLI::App app{"Trains and evaluates Mixture-of-Experts models as a company of actors.", "troupe"};
  train_options train;
  eval_options eval;
  node_options node;
  ablate_options ablate;
  query_options status;
  query_options drain;
  CLI::App* train_app = app.add_subcommand("train", "Train a model, in one process or over several nodes.");
  CLI::App* eval_app = app.add_subcommand("eval", "Test a saved model.");
  CLI::App* node_app = app.add_subcommand("node",
                                          "Join a run as an expert node, from this or another machine.");
  CLI::App* ablate_app = app.add_subcommand("ablate",
                                            "Compare many configurations: a matrix of training runs.");
  CLI::App* status_app = app.add_subcommand("status", "Show a run: nodes, placement, step, rates, bytes.");
  CLI::App* drain_app = app.add_subcommand("drain", "Let a node hand its experts over and leave.");

  parser() {
    app.formatter(std::make_shared<help_formatter>());
    for (auto* each : app.get_subcommands({})) {
      each->formatter(std::make_shared<help_formatter>());
      each->get_help_ptr()->group("Help")->description("show this and end");
    }
    app.get_help_ptr()->description("show this and end");
    app.set_version_flag("--version", version_text(), "show the version and how it was built");
    app.require_subcommand(1);
    app.footer("Examples:\n"
               "  troupe train --nodes 2        a head and two expert nodes learn FashionMNIST\n"
               "  troupe train --help           every option of a command, with examples\n\n"
               "Exit codes: 0 done, 1 failed while running, 2 wrong usage, 130 interrupted.");
    add_options(*train_app, train);
    add_options(*eval_app, eval);
    add_options(*node_app, node);
    add_options(*ablate_app, ablate);
    add_status_options(*status_app, status);
    add_drain_options(*drain_app, drain);
  }

  CLI::App& chosen() {
    const auto parsed = app.get_subcommands();
    return parsed.empty() ? app : *parsed.front();
  }
};

std::string help_command(const CLI::App& chosen) {
  return chosen.get_parent() == nullptr ? "`troupe --help`" : "`troupe " + chosen.get_name() + " --help`";
}

/// What CLI11 says about unknown words, with the name that was probably meant.
std::string unknown_text(CLI::App& chosen, const std::string& word) {
  if (word.rfind("--", 0) == 0) {
    const auto name = word.substr(2, word.find('=') - 2);
    const auto meant = nearest(name, option_names(chosen));
    return "--" + name + ": got an option that does not exist, "
           + (meant.empty() ? "" : "did you mean --" + meant + "? ") + help_command(chosen) + " lists them";
  }
  if (chosen.get_parent() != nullptr)
    return "command line: got '" + word + "', which is no option; " + help_command(chosen) + " lists them";
  std::vector<std::string> names;
  for (const auto* each : chosen.get_subcommands({})) names.push_back(each->get_name());
  const auto meant = nearest(word, names);
  return "command line: got '" + word + "', limit a command"
         + (meant.empty() ? "" : "; did you mean '" + meant + "'?") + "; " + help_command(chosen)
         + " lists them";
}

/// What CLI11 says about an option that is missing, with the name that the help has for it.
std::string missing_text(const CLI::App& chosen, const std::string& text) {
  const auto name_end = text.find(' ');
  const auto* option = chosen.get_option_no_throw(text.substr(0, name_end));
  const bool by_place = option != nullptr && !option->nonpositional();
  return by_place ? option->get_type_name() + text.substr(name_end) : text;
}

error usage_error(CLI::App& app, CLI::App& chosen, const CLI::ParseError& problem) {
  const auto unknown = app.remaining(true);
  std::string text = problem.what();
  if (!unknown.empty())
    text = unknown_text(chosen, unknown.front());
  else if (dynamic_cast<const CLI::RequiredError*>(&problem) != nullptr)
    text = (chosen.get_parent() == nullptr
              ? "command line: got no command, limit one of train, eval, node, ablate, status, drain"
              : missing_text(chosen, text))
           + "; " + help_command(chosen) + " explains";
  else if (dynamic_cast<const CLI::ArgumentMismatch*>(&problem) != nullptr)
    text = text.substr(0, text.find(':')) + ": got no value, limit one; " + help_command(chosen)
           + " explains";
  return error{error_code::usage, text};
}

std::string help_of(CLI::App& chosen) {
  auto text = chosen.help(chosen.get_parent() == nullptr ? "" : chosen.get_parent()->get_name());
  for (std::size_t at; (at = text.find("\n\n\n")) != std::string::npos;) text.erase(at, 1);
  return text;
}

template <class Options>
expected<command> finished(Options& options) {
  if (const auto good = finish(options); !good) return tl::unexpected(good.error());
  return command(options);
}

expected<command> finished_train(parser& all) {
  if (!all.train.config_file.empty())
    if (const auto applied = apply_toml(*all.train_app, all.train.config_file); !applied)
      return tl::unexpected(applied.error());
  return finished(all.train);
}

} // namespace

expected<command> read_command_line(std::vector<std::string> arguments) {
  for (const auto& word : arguments) // CLI11 would take the next word for the value
    if (word.starts_with("--") && word.find('=') + 1 == word.size())
      return fail(error_code::usage,
                  word.substr(0, word.size() - 1) + ": got an empty text, limit one character or more");
  parser all;
  std::reverse(arguments.begin(), arguments.end()); // CLI11 takes them from the back
  try {
    all.app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    return show_text{help_of(all.chosen())};
  } catch (const CLI::CallForVersion&) {
    return show_text{version_text() + "\n"};
  } catch (const CLI::ParseError& problem) {
    return tl::unexpected(usage_error(all.app, all.chosen(), problem));
  }
  if (all.train_app->parsed()) return finished_train(all);
  if (all.eval_app->parsed()) return finished(all.eval);
  if (all.node_app->parsed()) return finished(all.node);
  if (all.ablate_app->parsed()) return finished(all.ablate);
  const bool drain = all.drain_app->parsed();
  if (const auto good = finish(drain ? all.drain : all.status); !good) return tl::unexpected(good.error());
  return drain ? command(drain_command{all.drain}) : command(status_command{all.status});
}

} // namespace troupe::launcher
