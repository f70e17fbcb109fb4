#include "launcher/version.hpp"

#include "launcher/version_generated.hpp"

namespace troupe::launcher {

std::string version_text() {
  std::string text = std::string("troupe ") + TROUPE_VERSION;
  if (*TROUPE_REVISION != '\0') text += std::string(" (") + TROUPE_REVISION + ")";
  return text + ", " + TROUPE_BUILD_TYPE + ", " + TROUPE_COMPILER + ", " + TROUPE_PROCESSOR;
}

} // namespace troupe::launcher
