#include "simulation/cluster.hpp"

#include "simulation/naming.hpp"

#include <algorithm>
#include <iomanip>
#include <ostream>

namespace troupe::simulation {

namespace {

constexpr instant head_tick = 10;
constexpr instant owner_tick = 25;
constexpr std::size_t mail_max = 256; ///< from actors of the same node; they are quick

} // namespace

cluster::cluster(const scenario& s, expectations& watch, std::ostream* trace)
  : scenario_(s), watch_(watch), trace_(trace), network_(s, events_, [this](const auto& p) { arrive(p); }),
    draw_(mix(s.seed, word{3})) {
  // nop
}

void cluster::enter(std::unique_ptr<actor> a, instant tick_interval) {
  a->life = ++lives_;
  a->tick_interval = tick_interval;
  auto& entered = actors_[a->self] = std::move(a);
  if (tick_interval > 0) tick_later(*entered);
}

std::function<void(const address&, const message&)> cluster::stray() {
  return [this](const address& a, const message& m) {
    watch_.violated(to_string(a) + " got a message it does not know: " + to_string(m, current_term));
  };
}

actor* cluster::find(const address& a) {
  auto i = actors_.find(a);
  return i == actors_.end() ? nullptr : i->second.get();
}

void cluster::note(const std::string& line) const {
  if (trace_ != nullptr) *trace_ << std::setw(8) << events_.now() << "  " << line << '\n';
}

void cluster::bound(std::size_t got, std::size_t limit, const char* what, const address& whose) {
  watch_.expect(got <= limit, [&] {
    return std::string(what) + " of " + to_string(whose) + ": got " + std::to_string(got) + ", limit "
           + std::to_string(limit);
  });
}

// -- the head -----------------------------------------------------------------

void cluster::start() {
  const auto& s = scenario_;
  optimizer_ = add<optimizer_member>(head_tick, optimizer_address(), place{0}, stray(),
                                     optimizer_settings_of(s));
  optimizer_->observe = [this] {
    for (auto& summary : optimizer_->core.take_summaries()) {
      watch_.step_ended(summary);
      last_step_end_ = now();
      note("-- step " + std::to_string(summary.permission.step) + " has ended");
    }
  };
  add<loader_member>(0, std::make_unique<ledger_data>(s.seed, s.train_rows, s.test_rows), loader_address(),
                     place{0}, stray(), loader_settings{current_term, s.config.schedule});
  const owner_id dense{0, owner_id::dense_part, 0};
  watch_dense(*add<dense_member>(owner_tick, std::make_unique<ledger_dense>(s.seed, dense), dense_address(0),
                                 place{0}, stray(), dense_settings_of(s),
                                 static_cast<replica_id>(s.replicas)));
  for (replica_id r = 0; r < s.replicas; ++r)
    add<router_member>(head_tick, std::make_unique<ledger_trunk>(s.layers, s.routing, s.learn_inputs),
                       router_address(r), place_of(router_address(r), s), stray(), router_settings_of(s, r));
  coordinator_ = add<coordinator_member>(0, coordinator_address(), place{0}, stray(),
                                         coordinator_settings_of(s));
  if (s.nodes == 0) {
    watch_host(*add<host_member>(0, host_address(0), place{0}, stray(),
                                 host_settings{current_term, 0, s.config.model.experts, true, s.defects}));
    coordinator_->core.start_alone(out_);
    flush(*coordinator_);
  }
  for (std::uint32_t i = 0; i < s.nodes; ++i) join();
}

// -- what a shell does --------------------------------------------------------

/// Carries out what a core wants done, and checks what can be checked at once.
void cluster::flush(actor& a) {
  if (a.observe) a.observe();
  while (!out_.empty()) {
    auto out = std::exchange(out_, {});
    for (auto& change : out.experts) change_expert(a.self.index, change);
    for (auto& letter : out.messages) send(a, std::move(letter));
    for (auto& job : out.jobs) run_job(a, std::move(job));
  }
}

/// As shells do, computes in place if nothing waits and the job is small, and queues it otherwise.
void cluster::run_job(actor& a, job next) {
  if (a.jobs.empty() && draw_.chance(scenario_.small_jobs)) {
    next.work();
    a.finished(next.id, out_);
    if (a.observe) a.observe();
    for (auto& letter : std::exchange(out_.messages, {})) send(a, std::move(letter));
    return;
  }
  a.jobs.push_back(std::move(next));
  if (a.jobs.size() == 1) start_job(a);
}

/// Lets `what` happen when everything that is in the actor's mailbox now has been delivered, if it still
/// lives then.
void cluster::mail(actor& a, std::function<void(actor&)> what) {
  a.mailbox_time = std::max(a.mailbox_time, now() + draw_.below(3));
  bound(++a.mail, mail_max, "mail", a.self);
  events_.at(a.mailbox_time, [this, who = a.self, life = a.life, what = std::move(what)] {
    auto* receiver = find(who);
    if (receiver == nullptr || receiver->life != life) return;
    --receiver->mail;
    what(*receiver);
  });
}

void cluster::send(actor& from, envelope letter) {
  auto p = std::make_shared<network::parcel>(network::parcel{from.self, letter.to, std::move(letter.body)});
  if (from.self == optimizer_address())
    if (auto* permission = std::get_if<plan>(&p->body); permission != nullptr) plan_issued(*permission);
  if (letter.to.who != role::expert && from.self.who != role::expert) network_.send_stale(*p);
  if (from.at == place_of(letter.to, scenario_)) {
    auto* to = find(letter.to);
    if (to == nullptr) return note("   " + to_string(letter.to) + " is gone");
    return mail(*to, [this, p](actor&) { deliver(p); });
  }
  if (scenario_.wire) {
    auto decoded = through_wire(p->body);
    if (!decoded) return watch_.violated(decoded.error().text);
    p->body = std::move(*decoded);
  }
  network_.send(p, [this](const network::parcel& lost) {
    if (trace_ == nullptr) return;
    note("   lost: " + to_string(lost.from) + " -> " + to_string(lost.to) + "  "
         + to_string(lost.body, current_term));
  });
}

/// From the network: behind what is in the mailbox already.
void cluster::arrive(const std::shared_ptr<const network::parcel>& p) {
  auto* to = find(p->to);
  if (to == nullptr || to->mailbox_time <= now()) return deliver(p);
  events_.at(to->mailbox_time, [this, p] { deliver(p); });
}

void cluster::deliver(const std::shared_ptr<const network::parcel>& p) {
  auto* to = find(p->to);
  if (trace_ != nullptr)
    note(to_string(p->from) + " -> " + to_string(p->to) + "  " + to_string(p->body, current_term)
         + (to == nullptr ? " (nobody there)" : ""));
  if (to == nullptr) return;
  if (auto* r = std::get_if<refusal>(&p->body); r != nullptr && to->self.who == role::router)
    watch_.refused(*r);
  to->receive(p->body, out_);
  flush(*to);
}

/// Runs the first job of the queue. Its work happens at one end or the other of the time it takes; the notice
/// that it has finished goes through the mailbox, so that a later job, done in place, may overtake it.
void cluster::start_job(actor& a) {
  auto time = draw_.between(1, scenario_.job_max);
  if (scenario_.slow && a.at == *scenario_.slow) time *= 5;
  const auto early = draw_.chance(0.5);
  if (early) a.jobs.front().work();
  events_.in(time, [this, who = a.self, life = a.life, early] {
    auto* worker = find(who);
    if (worker == nullptr || worker->life != life) return;
    if (!early) worker->jobs.front().work();
    mail(*worker, [this, id = worker->jobs.front().id](actor& owner) {
      owner.finished(id, out_);
      flush(owner);
    });
    worker->jobs.pop_front();
    if (!worker->jobs.empty()) start_job(*worker);
  });
}

void cluster::tick_later(actor& a) {
  events_.in(a.tick_interval + draw_.below(3), [this, who = a.self, life = a.life] {
    auto* ticking = find(who);
    if (ticking == nullptr || ticking->life != life) return;
    ticking->tick(out_);
    flush(*ticking);
    tick_later(*ticking);
  });
}

// -- owners and hosts ---------------------------------------------------------

void cluster::change_expert(node_id node, const expert_change& change) {
  const auto who = expert_address(node, change.owner);
  if (!change.born) {
    auto* leaving = find(who);
    watch_.expect(leaving != nullptr && leaving->jobs.empty(),
                  [&] { return to_string(who) + " was buried alive"; });
    actors_.erase(who);
    return;
  }
  watch_.expect(find(who) == nullptr, [&] { return to_string(who) + " was born twice"; });
  watch_expert(*add<expert_member>(owner_tick, std::make_unique<ledger_expert>(scenario_.seed, change.owner),
                                   who, place{node}, stray(),
                                   expert_settings_of(scenario_, node, change.owner, change.fresh)));
}

void cluster::watch_expert(expert_member& e) {
  e.observe = [this, &e, waited = e.core.awaiting_state(), seen = std::uint64_t{0}]() mutable {
    bound(e.jobs.size(), 2 * scenario_.config.schedule.num_microbatches + 2, "jobs", e.self);
    bound(e.core.waiting(), 2 * scenario_.config.schedule.num_microbatches, "held work", e.self);
    if (e.core.awaiting_state()) return;
    const auto moved_in = std::exchange(waited, false);
    if (moved_in || e.core.version() != seen)
      watch_.owner_at(e.self.owner, e.core.version(), e.module().state(), moved_in);
    seen = e.core.version();
  };
}

void cluster::watch_dense(dense_member& d) {
  d.observe = [this, &d, seen = std::uint64_t{0}]() mutable {
    bound(d.jobs.size(), 2, "jobs", d.self);
    bound(d.core.waiting(), 2 * scenario_.config.schedule.lanes, "held gradients", d.self);
    if (d.core.version() != seen)
      watch_.owner_at(d.core.settings().owner, d.core.version(), d.module().state(), false);
    seen = d.core.version();
  };
}

void cluster::watch_host(host_member& h) {
  h.observe = [this, &h] {
    const auto bundles = std::size_t{scenario_.config.schedule.num_microbatches} * scenario_.layers;
    bound(h.core.waiting(), 2 * bundles + scenario_.owners(), "held messages", h.self);
    bound(h.core.under_way(), 6 * bundles, "bundles under way", h.self);
  };
}

} // namespace troupe::simulation
