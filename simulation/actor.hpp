#pragma once

#include "actors/outbox.hpp"
#include "simulation/scenario.hpp"

#include <deque>
#include <functional>
#include <memory>

namespace troupe::simulation {

/// A process of the cluster: the head is 0, nodes have their number, routers that live apart come far behind
/// them.
using place = std::uint16_t;

/// A core and what a shell keeps for it: the jobs that wait, the mailbox's clock.
class actor {
public:
  actor(address who, place where) : self(who), at(where) {
    // nop
  }

  virtual ~actor() = default;

  virtual void receive(const message& m, outbox& out) = 0;
  virtual void finished(std::uint64_t job, outbox& out) = 0;

  /// Called every `tick_interval`, never if that is 0.
  virtual void tick(outbox& out) = 0;
  instant tick_interval = 0;

  /// Called after each of the above.
  std::function<void()> observe;

  const address self;
  const place at;
  std::uint64_t life = 0; ///< tells an expert from its successor at the same address
  std::deque<job> jobs;   ///< the first one is running
  instant mailbox_time = 0;
  std::size_t mail = 0; ///< messages from the same node that are not delivered yet
};

/// An actor whose core handles what it has a `receive` for. Other messages are for nobody: `stray` is told.
template <class Core>
class core_actor : public actor {
public:
  using stray_handler = std::function<void(const address&, const message&)>;

  template <class... Args>
  core_actor(address who, place where, stray_handler stray, Args&&... args)
    : actor(who, where), core(std::forward<Args>(args)...), stray_(std::move(stray)) {
    // nop
  }

  void receive(const message& m, outbox& out) override {
    std::visit(
      [&](const auto& x) {
        if constexpr (requires { core.receive(x, out); })
          core.receive(x, out);
        else
          stray_(self, m);
      },
      m);
  }

  void finished(std::uint64_t job, outbox& out) override {
    if constexpr (requires { core.finished(job, out); }) core.finished(job, out);
  }

  void tick(outbox& out) override {
    if constexpr (requires { core.tick(out); }) core.tick(out);
  }

  Core core;

private:
  stray_handler stray_;
};

} // namespace troupe::simulation
