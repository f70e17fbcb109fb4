#include "messages/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace troupe {

void programming_error(std::string_view where, std::string_view what) {
  std::fprintf(stderr, "troupe: internal error: [%.*s] %.*s\n", static_cast<int>(where.size()), where.data(),
               static_cast<int>(what.size()), what.data());
  std::abort();
}

} // namespace troupe
