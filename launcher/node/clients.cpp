#include "launcher/node/clients.hpp"

#include "launcher/node/system.hpp"

#include <caf/scoped_actor.hpp>

namespace troupe::node {

namespace {

/// One question to the coordinator at `where`.
template <class Answer, class Question>
expected<Answer> ask(const launcher::address& where, const Question& question) {
  system_config config(1);
  caf::actor_system system(config);
  auto coordinator = find_coordinator(system, where);
  if (!coordinator) return tl::unexpected(coordinator.error());
  caf::scoped_actor self{system};
  expected<Answer> result = fail(error_code::unavailable, "no answer");
  self->request(*coordinator, answer_deadline, question)
    .receive([&](Answer& a) { result = std::move(a); },
             [&](caf::error& e) { result = fail(error_code::unavailable, text_of(e)); });
  return result;
}

} // namespace

expected<std::string> ask_status(const launcher::address& where) {
  return ask<std::string>(where, status_request{});
}

expected<node_id> ask_drain(const launcher::address& where, const std::string& node) {
  return ask<node_id>(where, drain_request{node});
}

} // namespace troupe::node
