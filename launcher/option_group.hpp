#pragma once

#include <CLI/App.hpp>
#include <CLI/Option.hpp>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace troupe::launcher {

/// Refuses everything but a whole number from 0 to `max`, in our words. Takes leading zeros off: CLI11 would
/// read octal.
CLI::Validator whole_number(std::uint64_t max);
/// Refuses everything but a finite number.
CLI::Validator finite_number();
/// Refuses what does not say whether a switch is on: `--flag=maybe`.
CLI::Validator yes_or_no();
/// Refuses an empty text: an option that is not wanted is left out.
CLI::Validator some_text();

/// What an option takes, as its placeholder and number of values say.
enum class option_kind { toggle, number, text, texts };
option_kind kind_of(const CLI::Option& option);

/// Adds options to a command under one heading of its help. The target's value at that moment is the default
/// shown.
class option_group {
public:
  option_group(CLI::App& command, std::string heading) : command_(command), heading_(std::move(heading)) {}

  CLI::Option* text(const std::string& flag, std::string& target, const std::string& placeholder,
                    const std::string& meaning) {
    return add(flag, target, placeholder, meaning)->check(some_text());
  }

  template <class T>
  CLI::Option* number(const std::string& flag, T& target, const std::string& meaning) {
    if constexpr (std::is_floating_point_v<T>)
      return add(flag, target, "X", meaning)->check(finite_number());
    else
      return add(flag, target, "N", meaning)
        ->transform(whole_number(static_cast<std::uint64_t>(std::numeric_limits<T>::max())));
  }

  /// A number that may be left open; `otherwise` says what holds then.
  template <class T>
  CLI::Option* number(const std::string& flag, std::optional<T>& target, const std::string& meaning,
                      const std::string& otherwise) {
    auto* option = command_.add_option_function<T>(
      flag, [&target](const T& value) { target = value; }, meaning);
    option->group(heading_)->default_str(otherwise)->take_last();
    if constexpr (std::is_floating_point_v<T>)
      return option->type_name("X")->check(finite_number());
    else
      return option->type_name("N")->transform(
        whole_number(static_cast<std::uint64_t>(std::numeric_limits<T>::max())));
  }

  /// Texts by repeating the flag, or separated by commas.
  CLI::Option* texts(const std::string& flag, std::vector<std::string>& target,
                     const std::string& placeholder, const std::string& meaning) {
    return command_.add_option(flag, target, meaning)
      ->group(heading_)
      ->type_name(placeholder)
      ->delimiter(',')
      ->allow_extra_args(false);
  }

  CLI::Option* toggle(const std::string& flags, bool& target, const std::string& meaning) {
    return command_.add_flag(flags, target, meaning)->group(heading_)->check(yes_or_no());
  }

private:
  template <class T>
  CLI::Option* add(const std::string& flag, T& target, const std::string& placeholder,
                   const std::string& meaning) {
    auto* option = command_.add_option(flag, target, meaning);
    return option->group(heading_)->type_name(placeholder)->capture_default_str()->take_last();
  }

  CLI::App& command_;
  std::string heading_;
};

} // namespace troupe::launcher
