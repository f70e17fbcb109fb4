#include "simulation/network.hpp"

#include "messages/encoding.hpp"
#include "simulation/stale.hpp"

namespace troupe::simulation {

network::network(const scenario& s, event_queue& events, arrival arrived)
  : scenario_(s), events_(events), arrived_(std::move(arrived)), draw_(mix(s.seed, word{2})) {
  // nop
}

instant network::delay() {
  const auto& f = scenario_.network;
  return draw_.chance(f.linger) ? draw_.below(f.linger_max) : draw_.between(f.delay_min, f.delay_max);
}

void network::send(std::shared_ptr<const parcel> p, const std::function<void(const parcel&)>& lost) {
  const auto copies = draw_.chance(scenario_.network.duplicate) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    if (draw_.chance(scenario_.network.lose))
      lost(*p);
    else
      events_.in(delay(), [this, p] { arrived_(p); });
  }
}

void network::send_stale(const parcel& p) {
  if (!draw_.chance(scenario_.network.stale)) return;
  if (auto twin = stale_twin(p.body, draw_)) {
    auto old = std::make_shared<const parcel>(parcel{p.from, p.to, std::move(*twin)});
    events_.in(delay(), [this, old] { arrived_(old); });
  }
}

place place_of(const address& a, const scenario& s) {
  constexpr place routers = 0x8000;
  switch (a.who) {
    case role::host:
    case role::expert: return a.index;
    case role::router: return s.routers_apart ? static_cast<place>(routers + a.index) : place{0};
    default: return 0;
  }
}

expected<message> through_wire(const message& m) {
  return std::visit(
    [&](const auto& x) -> expected<message> {
      using type = std::decay_t<decltype(x)>;
      if constexpr (wire_message<type>) {
        auto result = decode<type>(encode(x), limits{});
        if (!result) return tl::unexpected(result.error());
        return message{std::move(*result)};
      } else {
        return fail(error_code::internal, "[network] a message between host and expert left its node");
      }
    },
    m);
}

} // namespace troupe::simulation
