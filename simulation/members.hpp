#pragma once

#include "actors/coordinator/core.hpp"
#include "actors/host/core.hpp"
#include "actors/loader/core.hpp"
#include "actors/optimizer/core.hpp"
#include "actors/owner/dense_core.hpp"
#include "actors/owner/expert_core.hpp"
#include "actors/router/core.hpp"
#include "simulation/actor.hpp"
#include "simulation/ledger_owners.hpp"
#include "simulation/ledger_trunk.hpp"

#include <memory>

namespace troupe::simulation {

// The roles of the cluster: cores with ledger modules.

constexpr term_id current_term{1000, 1};

/// A core over a module of the ledger model; the module lives as long as the core.
template <class Module, class Core>
struct module_holder {
  std::unique_ptr<Module> module;
};

template <class Core, class Module>
class actor_with_module : private module_holder<Module, Core>, public core_actor<Core> {
  using holder = module_holder<Module, Core>;

public:
  using stray_handler = typename core_actor<Core>::stray_handler;

  template <class... Args>
  actor_with_module(std::unique_ptr<Module> module, address who, place where, stray_handler stray,
                    auto settings, Args&&... args)
    : holder{std::move(module)}, core_actor<Core>(who, where, std::move(stray), std::move(settings),
                                                  *holder::module, std::forward<Args>(args)...) {
    // nop
  }

  const Module& module() const noexcept { return *holder::module; }
};

using expert_member = actor_with_module<expert_core, ledger_expert>;
using dense_member = actor_with_module<dense_core, ledger_dense>;
using router_member = actor_with_module<router_core, ledger_trunk>;
using loader_member = actor_with_module<loader_core, ledger_data>;
using optimizer_member = core_actor<optimizer_core>;
using coordinator_member = core_actor<coordinator_core>;

/// A host, and what its process does beside it: says that it is ready until it is heard, goes when it is
/// released.
class host_member : public core_actor<host_core> {
public:
  using core_actor::core_actor;

  void receive(const message& m, outbox& out) override {
    if (auto* r = std::get_if<release>(&m)) {
      if (r->term == current_term && released) released();
      return;
    }
    if (auto* p = std::get_if<plan>(&m); p != nullptr && p->term == current_term) heard_ = true;
    core_actor::receive(m, out);
  }

  void tick(outbox& out) override {
    if (!heard_) out.send(coordinator_address(), ready{current_term, self.index});
  }

  std::function<void()> released;

private:
  bool heard_ = false;
};

optimizer_settings optimizer_settings_of(const scenario& s);
coordinator_settings coordinator_settings_of(const scenario& s);
router_settings router_settings_of(const scenario& s, replica_id replica);
owner_settings expert_settings_of(const scenario& s, node_id node, owner_id owner, bool fresh);
owner_settings dense_settings_of(const scenario& s);
join_request join_request_of(node_id number);

} // namespace troupe::simulation
