#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

namespace troupe::conformance {

/// The options of a case: an object whose every name must be known. No defaults: what is read must be there.
class options {
public:
  struct data;

  explicit options(std::shared_ptr<const data> from);

  /// Fails on the first name that is not one of these.
  void allow(std::initializer_list<const char*> names) const;

  bool has(const std::string& name) const;
  std::string text(const std::string& name) const;
  double number(const std::string& name) const;
  bool flag(const std::string& name) const;
  /// A size or a number of steps: from `low` to 2^24, beyond any model, and yet computed in seconds.
  std::int64_t integer(const std::string& name, std::int64_t low) const;
  std::uint64_t unsigned_integer(const std::string& name) const;
  std::vector<std::int64_t> integers(const std::string& name) const;
  options object(const std::string& name) const;
  std::vector<std::string> names() const;

private:
  std::shared_ptr<const data> data_;
};

} // namespace troupe::conformance
