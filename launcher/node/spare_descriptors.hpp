#pragma once

#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace troupe::node {

/// File descriptors put aside: whoever connects takes one each, and the trained model must still be written.
class spare_descriptors {
public:
  explicit spare_descriptors(int count) {
    for (int i = 0; i < count; ++i)
      if (const int one = ::open("/dev/null", O_RDONLY | O_CLOEXEC); one >= 0) kept_.push_back(one);
  }

  ~spare_descriptors() { release(); }

  spare_descriptors(const spare_descriptors&) = delete;
  spare_descriptors& operator=(const spare_descriptors&) = delete;

  void release() {
    for (const int one : kept_) ::close(one);
    kept_.clear();
  }

private:
  std::vector<int> kept_;
};

} // namespace troupe::node
