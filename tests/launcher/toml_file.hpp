#pragma once

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

#include <unistd.h>

namespace troupe::test {

/// A file with that content, for as long as it is in scope.
class toml_file {
public:
  explicit toml_file(const std::string& content) {
    const int descriptor = ::mkstemps(path_.data(), 5);
    if (descriptor < 0) throw std::runtime_error("cannot make a temporary file: " + path_);
    ::close(descriptor);
    std::ofstream(path_) << content;
  }

  ~toml_file() { std::remove(path_.c_str()); }
  toml_file(const toml_file&) = delete;
  toml_file& operator=(const toml_file&) = delete;

  const std::string& path() const { return path_; }

private:
  std::string path_ = "/tmp/troupe-test-XXXXXX.toml";
};

} // namespace troupe::test
