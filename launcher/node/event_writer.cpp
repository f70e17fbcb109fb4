#include "launcher/node/event_writer.hpp"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdio>
#include <string>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace troupe::node {

const char* name_of(error_code code) {
  switch (code) {
    case error_code::usage: return "usage";
    case error_code::not_found: return "not_found";
    case error_code::malformed: return "malformed";
    case error_code::over_limit: return "over_limit";
    case error_code::mismatch: return "mismatch";
    case error_code::unavailable: return "unavailable";
    case error_code::run_failed: return "run_failed";
    case error_code::internal: return "internal";
  }
  return "internal";
}

event_writer::event_writer(int descriptor) : descriptor_(descriptor) {
  if (descriptor_ >= 0) ::fcntl(descriptor_, F_SETFL, ::fcntl(descriptor_, F_GETFL) | O_NONBLOCK);
}

event_writer::~event_writer() {
  pass_on(true);
}

void event_writer::write(const nlohmann::ordered_json& event) {
  if (descriptor_ < 0) return;
  // Texts may hold what another process sent.
  waiting_ += event.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  pass_on(false);
  if (waiting_.size() > waiting_bytes_max) pass_on(true);
}

void event_writer::write_if_read(const nlohmann::ordered_json& event) {
  pass_on(false);
  if (waiting_.empty()) write(event);
}

void event_writer::pass_on(bool all) {
  std::size_t done = 0;
  while (done < waiting_.size()) {
    const auto n = ::write(descriptor_, waiting_.data() + done, waiting_.size() - done);
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (n < 0 && errno == EAGAIN) {
      if (!all) break;
      pollfd reader{descriptor_, POLLOUT, 0};
      ::poll(&reader, 1, -1);
    } else if (n == 0 || errno != EINTR) {
      done = waiting_.size(); // the launcher is gone, and this process with it
    }
  }
  waiting_.erase(0, done);
}

void event_writer::failure(const error& e) {
  if (descriptor_ < 0) std::fprintf(stderr, "troupe-node: error: %s\n", e.text.c_str());
  write({{"event", "error"}, {"code", name_of(e.code)}, {"text", e.text}});
}

} // namespace troupe::node
