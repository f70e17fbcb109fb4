#pragma once

#include "simulation/event_queue.hpp"
#include "simulation/expectations.hpp"
#include "simulation/members.hpp"
#include "simulation/network.hpp"

#include <iosfwd>
#include <map>
#include <memory>

namespace troupe::simulation {

/// The cluster at work: shells for the cores, mailboxes, jobs, ticks, membership. Everything that can vary is
/// drawn from the scenario's seed.
class cluster {
public:
  /// `trace`: one line per delivered or lost message; may be null.
  cluster(const scenario& s, expectations& watch, std::ostream* trace);

  /// Starts the head and lets the first nodes join.
  void start();

  /// Lets one more thing happen. False if nothing is left to happen.
  bool step() { return events_.step(); }

  instant now() const noexcept { return events_.now(); }
  std::uint64_t events() const noexcept { return events_.happened(); }
  instant last_step_end() const noexcept { return last_step_end_; }

  /// Every planned step has ended.
  bool trained() const { return optimizer_->core.finished(); }

  /// Asks all hosts for their experts' states at the end, again and again until they are here.
  void collect();
  bool collected() const;

  /// Compares all owners' parameters, and what the coordinator collected, with the reference.
  void compare_states();

private:
  /// Makes a member and lets it tick. `args`: module, if it has one, then address and place; and its
  /// settings.
  template <class Member, class... Args>
  Member* add(instant tick_interval, Args&&... args) {
    auto made = std::make_unique<Member>(std::forward<Args>(args)...);
    auto* result = made.get();
    enter(std::move(made), tick_interval);
    return result;
  }

  void enter(std::unique_ptr<actor> a, instant tick_interval);
  std::function<void(const address&, const message&)> stray();
  void flush(actor& a);
  void send(actor& from, envelope letter);
  void mail(actor& a, std::function<void(actor&)> what);
  void arrive(const std::shared_ptr<const network::parcel>& p);
  void deliver(const std::shared_ptr<const network::parcel>& p);
  void run_job(actor& a, job next);
  void start_job(actor& a);
  void tick_later(actor& a);
  void change_expert(node_id node, const expert_change& change);
  void watch_expert(expert_member& e);
  void watch_dense(dense_member& d);
  void watch_host(host_member& h);
  void plan_issued(const plan& p);
  void join();
  void change_members(const membership_event& e);
  void drain(word draw);
  void die(word draw);
  void node_gone(node_id node);
  void bound(std::size_t got, std::size_t limit, const char* what, const address& whose);
  void note(const std::string& line) const;
  actor* find(const address& a);

  const scenario& scenario_;
  expectations& watch_;
  std::ostream* trace_;
  event_queue events_;
  network network_;
  dice draw_;
  std::map<address, std::unique_ptr<actor>> actors_;
  optimizer_member* optimizer_ = nullptr;
  coordinator_member* coordinator_ = nullptr;
  outbox out_;
  std::uint64_t lives_ = 0;
  instant last_step_end_ = 0;
};

} // namespace troupe::simulation
