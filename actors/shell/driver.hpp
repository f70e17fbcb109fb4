#pragma once

#include "actors/outbox.hpp"
#include "actors/shell/compute_pool.hpp"
#include "actors/shell/contracts.hpp"
#include "actors/shell/exceptions.hpp"
#include "actors/shell/post_office.hpp"

#include "messages/error.hpp"

#include <caf/actor_cast.hpp>
#include <caf/send.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace troupe {

/// What the actors of one process share.
struct workplace {
  std::shared_ptr<post_office> office;
  std::shared_ptr<compute_pool> pool;
  std::function<void()> prepare_thread; ///< sets a thread up for computing; called before the first job in
                                        ///< place
  double inline_flops_max = 2e8; ///< jobs up to here run where they arrive: about a millisecond, less than a
                                 ///< hand-over to a sleeping thread is worth
  std::function<void()> message_came; ///< called at every message to a router, expert, dense owner or
                                      ///< loader, on any thread; cheap
  std::function<double()> now_us;     ///< a steady clock for the times in reports, microseconds
  std::function<void(const error&)> run_failed; ///< a job or an actor found that the run cannot go on; called
                                                ///< on any thread
  double slowness = 1;                          ///< testing: every job takes this many times as long
};

/// Runs `work` of the actor `who` as the workplace wants it run (slower, in tests). False: it threw, and the
/// run has failed with it.
bool run_job(const workplace& place, const std::string& who, const std::function<void()>& work);

/// Prepares the calling thread once.
void prepare_this_thread(const workplace& place);

/// A core and the module that it works on, which lives as long as the core does.
template <class Core, class Settings, class Module, class... More>
std::shared_ptr<Core> core_with(Settings settings, std::shared_ptr<Module> module, More... more) {
  auto& used = *module;
  return {new Core(std::move(settings), used, more...), [module = std::move(module)](Core* c) { delete c; }};
}

/// Carries out what a core appended to its outbox: letters first, then jobs, until nothing is left.
template <class Core, class Handle>
class driver {
public:
  /// The pool keeps the core while it works for it: an actor may end before its jobs do. `who`: for people.
  driver(std::shared_ptr<Core> core, typename Handle::pointer self, const workplace& place, std::string who)
    : core_(std::move(core)), self_(self), place_(place), who_(std::move(who)),
      strand_(std::make_shared<compute_pool::strand>()) {
    end_run_on_exception(self_, place_.run_failed, who_);
  }

  template <class Message>
  void receive(const Message& m) {
    if (place_.message_came) place_.message_came();
    core_->receive(m, out_);
    flush();
  }

  void finished(std::uint64_t job) {
    core_->finished(job, out_);
    flush();
  }

  void ticked() {
    core_->tick(out_);
    flush();
  }

private:
  void flush() {
    while (!out_.messages.empty() || !out_.jobs.empty()) {
      for (auto& letter : std::exchange(out_.messages, {})) place_.office->deliver(std::move(letter));
      for (auto& job : std::exchange(out_.jobs, {})) run(std::move(job));
    }
  }

  void run(job next) {
    if (next.flops <= place_.inline_flops_max && strand_->idle()) {
      prepare_this_thread(place_);
      if (!run_job(place_, who_, next.work)) return;
      core_->finished(next.id, out_);
      // What it sends must not wait for the jobs that stand behind it.
      for (auto& letter : std::exchange(out_.messages, {})) place_.office->deliver(std::move(letter));
      return;
    }
    auto place = place_;
    place.message_came = nullptr; // a job keeps what it needs
    place.pool = nullptr; // a job that kept its own pool could be the last to leave it: it would wait for
                          // itself
    place_.pool->submit(strand_,
                        {next.priority, [place = std::move(place), who = who_, core = core_, id = next.id,
                                         self = caf::actor_cast<Handle>(self_), work = std::move(next.work)] {
                           if (!run_job(place, who, work)) return;
                           caf::anon_send(self, job_done{id});
                         }});
  }

  std::shared_ptr<Core> core_;
  typename Handle::pointer self_; // not a handle: an actor must not keep itself alive
  workplace place_;
  std::string who_;
  std::shared_ptr<compute_pool::strand> strand_;
  outbox out_;
};

} // namespace troupe
