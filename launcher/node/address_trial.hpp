#pragma once

#include "launcher/address.hpp"

#include <string>

namespace troupe::node {

/// Why nobody can listen at `where`, in the system's words ("Address already in use"): tries it once more.
/// Empty if it is possible now.
std::string why_not_listen(const launcher::address& where);

/// Why `where` cannot be connected to ("Connection refused"), likewise. Blocks, at most three seconds for
/// each of the host's addresses.
std::string why_not_connect(const launcher::address& where);

} // namespace troupe::node
