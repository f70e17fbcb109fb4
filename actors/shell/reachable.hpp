#pragma once

#include <caf/error.hpp>
#include <caf/mailbox_element.hpp>
#include <caf/message.hpp>
#include <caf/scheduled_actor.hpp>
#include <caf/system_messages.hpp>

#include <utility>

namespace troupe {

#if __has_include(<caf/execution_unit.hpp>)
using caf_context = caf::execution_unit; // CAF 0.18
#else
using caf_context = caf::scheduler;
#endif

/// The base of an actor that other processes can send to. CAF ends an actor that gets an exit message, from
/// whomever; ours end by `retire`, which does not travel. So exit messages are dropped at the door: "kill"
/// passes every handler.
template <class Base>
class reachable : public Base {
public:
  using Base::Base;
  using Base::enqueue;

  bool enqueue(caf::mailbox_element_ptr what, caf_context* context) override {
    if (what->payload.template match_elements<caf::exit_msg>()) return true;
    return Base::enqueue(std::move(what), context);
  }
};

/// To be called by such an actor when it begins: CAF's own message "error" would end it, and what no contract
/// names would be printed. An unexpected request gets CAF's error as its answer.
template <class Self>
void ignore_what_no_contract_names(Self* self) {
  self->set_error_handler([](caf::error&) {});
  self->set_default_handler(caf::drop);
}

} // namespace troupe
