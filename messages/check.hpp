#pragma once

#include <string_view>

namespace troupe {

/// Reports a programming error with the values that were wrong, and aborts. On in release builds too.
[[noreturn]] void programming_error(std::string_view where, std::string_view what);

} // namespace troupe

/// Always-on check of what the program itself guarantees; `detail` is only evaluated on failure.
#define TROUPE_CHECK(condition, detail)                                                                      \
  do {                                                                                                       \
    if (!(condition)) [[unlikely]]                                                                           \
      ::troupe::programming_error(__func__, detail);                                                         \
  } while (false)
