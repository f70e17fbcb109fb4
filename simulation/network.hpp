#pragma once

#include "simulation/actor.hpp"
#include "simulation/event_queue.hpp"

#include <functional>
#include <memory>
#include <string>

namespace troupe::simulation {

/// Carries messages between places, as badly as the scenario says.
class network {
public:
  /// A message on its way; duplicates share it.
  struct parcel {
    address from;
    address to;
    message body;
  };
  using arrival = std::function<void(const std::shared_ptr<const parcel>&)>;

  network(const scenario& s, event_queue& events, arrival arrived);

  /// Loses, doubles, delays. Called back on `lost` for the trace.
  void send(std::shared_ptr<const parcel> p, const std::function<void(const parcel&)>& lost);

  /// Perhaps sends what an earlier incarnation might have sent.
  void send_stale(const parcel& p);

  /// How long a message takes.
  instant delay();

private:
  const scenario& scenario_;
  event_queue& events_;
  arrival arrived_;
  dice draw_;
};

/// Where an address is.
place place_of(const address& a, const scenario& s);

/// What the receiver decodes from what the sender encoded. The reason if it cannot.
expected<message> through_wire(const message& m);

} // namespace troupe::simulation
