#pragma once

#include "messages/error.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <string>

namespace troupe::node {

/// Writes events as JSON lines for the launcher (the list is in launcher/README.md). Without a descriptor,
/// errors go to stderr and the rest nowhere. Threading: one thread.
///
/// The launcher does not read while its own stdout blocks (`troupe train | less`): the run goes on meanwhile.
class event_writer {
public:
  static constexpr std::size_t waiting_bytes_max = std::size_t{1} << 20; ///< 2,000 log lines: hours of most
                                                                         ///< runs

  explicit event_writer(int descriptor);
  ~event_writer(); ///< waits until everything has been read
  event_writer(const event_writer&) = delete;
  event_writer& operator=(const event_writer&) = delete;

  /// Writes an event. While nobody reads, `waiting_bytes_max` are kept for later; beyond them it waits.
  void write(const nlohmann::ordered_json& event);
  /// Writes an event that the next of its kind replaces: left out while nobody reads.
  void write_if_read(const nlohmann::ordered_json& event);
  /// Writes what waits as far as it is read.
  void catch_up() { pass_on(false); }

  void failure(const error& e);

private:
  void pass_on(bool all);

  int descriptor_;
  std::string waiting_; ///< whole lines, the first perhaps begun
};

/// "usage", "not_found", … as the launcher reads them.
const char* name_of(error_code code);

} // namespace troupe::node
