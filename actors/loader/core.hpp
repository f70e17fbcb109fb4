#pragma once

#include "actors/outbox.hpp"
#include "model/configuration.hpp"
#include "model/data_source.hpp"

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace troupe {

struct loader_settings {
  term_id term;
  schedule_options schedule;
};

/// Turns (configuration, step) into microbatches, ahead of need where a router says so. Stateless but for its
/// cache: a lost loader loses nothing.
class loader_core {
public:
  loader_core(loader_settings settings, const data_source& data);

  void receive(const fetch& m, outbox& out);
  void finished(std::uint64_t job, outbox& out);

private:
  /// Microbatches are named by what they hold, so that the next step's can be prepared before its plan is
  /// known.
  struct key {
    step_kind kind = step_kind::train;
    std::uint64_t ordinal = 0;
    std::uint32_t microbatch = 0;

    auto operator<=>(const key&) const = default;
  };

  struct entry {
    bool here = false;
    samples rows;
    std::vector<fetch> waiting;
  };

  void prepare(const key& k, outbox& out);
  void answer(const fetch& m, const samples& rows, outbox& out);

  loader_settings settings_;
  const data_source& data_;
  std::map<key, entry> cache_;
  std::map<std::uint64_t, key> jobs_;
  std::uint64_t last_job_ = 0;
};

} // namespace troupe
