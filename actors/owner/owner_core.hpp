#pragma once

#include "actors/mutations.hpp"
#include "actors/outbox.hpp"
#include "actors/repeat_clock.hpp"
#include "model/parameter_set.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace troupe {

/// Who an owner is and whom it reports to.
struct owner_settings {
  term_id term;
  owner_id owner;
  std::uint32_t index = 0; ///< position in a plan's placement (experts)
  node_id node = 0;
  address reports_to;             ///< gets `norm_report` and `applied`
  std::function<double()> now_us; ///< for the times in `applied` only; may be empty
  bool fresh = true;              ///< false: waits for `owner_state` before it does anything
  tick_count resend_after = 8;    ///< ticks until a state on its way is sent again (see repeat_clock)
  mutations defects;
};

/// The protocol that experts and dense parts share: one version per applied step, one fold order, exactly one
/// optimizer step per plan. Subclasses know how a gradient comes about.
///
/// States of a step: plan unknown → open → (awaiting commit) → applying → done. A done step is remembered
/// until plan(step + 2), which proves that nobody will ask for it again.
class owner_core {
public:
  owner_core(owner_settings settings, parameter_set& parameters);
  virtual ~owner_core() = default;

  owner_core(const owner_core&) = delete;
  owner_core& operator=(const owner_core&) = delete;

  void receive(const commit& c, outbox& out);
  void receive(const owner_state& s, outbox& out);
  void receive(const state_received& s, outbox& out);
  void receive(const state_request& r, outbox& out);

  /// A posted job has run.
  void finished(std::uint64_t job, outbox& out);

  /// Sends again what has not been acknowledged (a state on its way to the next owner).
  void tick(outbox& out);

  /// Steps applied; the parameters are those before step `version()`.
  std::uint64_t version() const noexcept { return version_; }

  bool awaiting_state() const noexcept { return awaiting_state_; }

  const owner_settings& settings() const noexcept { return settings_; }

protected:
  /// What every step has; subclasses derive their own from it.
  struct step_state {
    std::shared_ptr<const plan> permission;
    std::vector<std::unique_ptr<gradient_sum>> lanes; ///< null until the first fold
    double squared_norm = 0;
    bool reduced = false; ///< every lane is complete and its reduction posted
    bool awaiting_commit = false;
    bool applying = false;
    bool done = false;
    double forward_us = 0; ///< written by jobs
    double backward_us = 0;
    double apply_us = 0;

    virtual ~step_state() = default;
  };

  /// A plan has come; kept as long as its step.
  void accept(std::shared_ptr<const plan> permission, outbox& out);

  virtual std::unique_ptr<step_state> new_step(const plan& p) = 0;

  /// The step has a plan and the parameters are at its version: held work may start.
  virtual void opened(step_state& step, outbox& out) = 0;

  /// Called once the step is applied and the version has grown; frees what no repeat needs.
  virtual void closed(step_state& step, outbox& out) = 0;

  /// A plan was repeated.
  virtual void plan_repeated(std::uint64_t step, outbox& out);

  /// A job of a subclass has run.
  virtual void subclass_finished(std::uint64_t job, outbox& out) = 0;

  /// Every step before `step` is forgotten.
  virtual void forget_before(std::uint64_t step) = 0;

  /// About how many parameters the owner has, to decide where its jobs run.
  virtual double parameters_count() const = 0;

  /// The work that ends a step: lanes folded left to right, then the norm, or the optimizer step itself.
  /// To be run at the end of the job that folds the step's last gradient.
  std::function<void()> reduction(step_state& step);

  /// Its rough cost. As `job::flops`: memory is what it waits for, so a number counts for as many operations
  /// of a matrix product as take the same time.
  double reduction_flops(const step_state& step) const;

  /// To be called when the job that ran `reduction` has finished.
  void reduction_finished(step_state& step, outbox& out);

  /// The step is complete without an optimizer step (an evaluation).
  void complete_without_update(step_state& step, outbox& out);

  double now() const { return settings_.now_us ? settings_.now_us() : 0; }

  std::uint64_t next_job() { return ++last_job_; }

  bool term_holds(const term_id& t) const { return t == settings_.term || settings_.defects.accept_old_term; }

  /// Step `step` if its plan is known, else null.
  step_state* find(std::uint64_t step);

  /// True if the owner has handed its experts over before `step`.
  bool handed_over(std::uint64_t step) const noexcept { return leaves_at_ <= step; }

  static constexpr double flops_per_update = 100; ///< Adam of one parameter: 0.7 to 1.3 ns, at 94 GFLOP/s
  static constexpr double flops_per_fold = 20;    ///< one number added to another

  parameter_set& parameters_;
  std::uint64_t version_ = 0;

private:
  void apply(step_state& step, double scale, outbox& out);
  void update(step_state& step, double scale); ///< the optimizer step itself, timed; run by jobs
  void complete(step_state& step, outbox& out);
  void open_current(outbox& out);
  void hand_over(outbox& out);
  void send_state(outbox& out) const;
  void answer_state_request(outbox& out);

  static constexpr std::uint64_t never = ~std::uint64_t{0};

  owner_settings settings_;
  std::map<std::uint64_t, std::unique_ptr<step_state>> steps_; ///< at most version-2 … version+1
  std::uint64_t last_job_ = 0;
  std::uint64_t apply_job_ = 0;
  bool awaiting_state_ = false;
  std::uint64_t leaves_at_ = never; ///< first step that somebody else does
  node_id leaves_to_ = 0;
  tensor leaving_state_; ///< kept until the new owner has it
  tick_count ticks_ = 0;
  repeat_clock state_repeat_;
  bool state_arrived_there_ = false;
  std::uint64_t requested_version_ = never;
};

} // namespace troupe
