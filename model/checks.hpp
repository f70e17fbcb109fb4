#pragma once

#include "messages/error.hpp"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <optional>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

namespace troupe {

/// Collects checks of user input and keeps the first that fails: `option: got X, limit Y; what to do`.
class checks {
public:
  /// Fails unless `good`.
  void require(bool good, const std::string& option, const std::string& got, const std::string& limit,
               const std::string& remedy = {}) {
    if (good || problem_) return;
    problem_ = option + ": got " + got + ", limit " + limit + (remedy.empty() ? "" : "; " + remedy);
  }

  /// Fails unless low ≤ got ≤ high. NaN fails.
  template <class T>
  void range(const std::string& option, T got, std::type_identity_t<T> low, std::type_identity_t<T> high,
             const std::string& remedy = {}) {
    require(got >= low && got <= high, option, shown(got), shown(low) + " to " + shown(high), remedy);
  }

  /// Fails unless the number is finite and > 0.
  void positive(const std::string& option, double got, const std::string& remedy = {}) {
    require(std::isfinite(got) && got > 0, option, shown(got), "a finite number above 0", remedy);
  }

  /// Fails unless the number is finite and ≥ 0.
  void not_negative(const std::string& option, double got, const std::string& remedy = {}) {
    require(std::isfinite(got) && got >= 0, option, shown(got), "a finite number from 0 up", remedy);
  }

  /// Fails unless 0 ≤ got < 1.
  void fraction(const std::string& option, double got, const std::string& remedy = {}) {
    require(got >= 0 && got < 1, option, shown(got), "0 up to but not 1", remedy);
  }

  /// Fails unless `got` is one of the names.
  void one_of(const std::string& option, const std::string& got, const std::vector<std::string>& names,
              const std::string& remedy = {}) {
    std::string list;
    for (const auto& name : names) list += (list.empty() ? "" : " | ") + name;
    require(std::find(names.begin(), names.end(), got) != names.end(), option, "'" + got + "'", list, remedy);
  }

  bool failed() const noexcept { return problem_.has_value(); }

  expected<void> result() const {
    if (problem_) return fail(error_code::usage, *problem_);
    return {};
  }

private:
  template <class T>
  static std::string shown(T value) {
    std::ostringstream out;
    out << value;
    return out.str();
  }

  std::optional<std::string> problem_;
};

} // namespace troupe
