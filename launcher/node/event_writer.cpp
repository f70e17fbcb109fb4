#include "launcher/node/event_writer.hpp"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdio>
#include <string>

#include <unistd.h>

namespace troupe::node {

const char* name_of(error_code code) {
  switch (code) {
    case error_code::usage: return "usage";
    case error_code::not_found: return "not_found";
    case error_code::malformed: return "malformed";
    case error_code::over_limit: return "over_limit";
    case error_code::old_term: return "old_term";
    case error_code::wrong_version: return "wrong_version";
    case error_code::mismatch: return "mismatch";
    case error_code::unavailable: return "unavailable";
    case error_code::internal: return "internal";
  }
  return "internal";
}

void event_writer::write(const nlohmann::ordered_json& event) {
  if (descriptor_ < 0) return;
  // Texts may hold what another process sent.
  const auto line = event.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  for (std::size_t done = 0; done < line.size();) {
    const auto n = ::write(descriptor_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return; // the launcher is gone, and this process with it
    done += static_cast<std::size_t>(n);
  }
}

void event_writer::failure(const error& e) {
  if (descriptor_ < 0) std::fprintf(stderr, "troupe-node: error: %s\n", e.text.c_str());
  write({{"event", "error"}, {"code", name_of(e.code)}, {"text", e.text}});
}

} // namespace troupe::node
