#pragma once

#include "messages/error.hpp"

#include <nlohmann/json_fwd.hpp>

namespace troupe::node {

/// Writes events as JSON lines for the launcher (the list is in launcher/README.md). Without a descriptor,
/// errors go to stderr and the rest nowhere. Threading: one thread.
class event_writer {
public:
  explicit event_writer(int descriptor) : descriptor_(descriptor) {
    // nop
  }

  void write(const nlohmann::ordered_json& event);
  void failure(const error& e);

private:
  int descriptor_;
};

/// "usage", "not_found", … as the launcher reads them.
const char* name_of(error_code code);

} // namespace troupe::node
