#pragma once

#include <string>

namespace troupe::launcher {

/// `troupe 0.1.0 (12ab34c), Release, g++ 12.2.0, x86_64`
std::string version_text();

} // namespace troupe::launcher
