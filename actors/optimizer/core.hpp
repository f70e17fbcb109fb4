#pragma once

#include "actors/optimizer/timetable.hpp"
#include "actors/outbox.hpp"
#include "actors/repeat_clock.hpp"
#include "model/configuration.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace troupe {

struct optimizer_settings {
  term_id term;
  configuration config;
  std::uint32_t replicas = 1;
  std::uint16_t layers = 1;
  std::uint16_t stages = 1; ///< dense owners
  std::uint64_t train_rows = 0;
  std::uint64_t test_rows = 0;
  bool training = true; ///< false: one evaluation pass
  tick_count resend_after = 8;
};

/// One step as it ended: what the progress display, the metrics file and the log are made of.
struct step_summary {
  plan permission;
  timetable::entry entry;
  std::vector<replica_report> replicas; ///< by replica
  double gradient_norm = 0;             ///< global, before clipping; 0 unless clipping is on
  double expert_forward_us = 0;         ///< computing times of all owners, summed
  double expert_backward_us = 0;
  double apply_us = 0;
};

/// Owns the schedule and the step: issues plans, collects acknowledgements, decides the clip scale. Holds no
/// tensors.
class optimizer_core {
public:
  explicit optimizer_core(optimizer_settings settings);

  /// The first call starts the run.
  void receive(const placement_change& m, outbox& out);
  void receive(const applied& m, outbox& out);
  void receive(const norm_report& m, outbox& out);
  void receive(const replica_report& m, outbox& out);
  void tick(outbox& out);

  /// Steps that ended since the last call, in order.
  std::vector<step_summary> take_summaries();

  /// Every planned step has ended.
  bool finished() const noexcept { return exhausted_ && open_.empty(); }

  /// The step after the last planned one: the version of all parameters once `finished`.
  std::uint64_t next_step() const noexcept { return next_step_; }

private:
  struct open_step {
    step_summary summary;
    std::set<owner_id> applied_by;
    std::map<owner_id, double> norms;
    std::optional<commit> decision;
    std::uint32_t reports = 0;
    repeat_clock repeat;
  };

  std::size_t owners() const noexcept {
    return std::size_t{settings_.layers} * settings_.config.model.owners_per_layer() + settings_.stages;
  }

  bool complete(const open_step& s) const {
    return s.applied_by.size() == owners() && s.reports == settings_.replicas;
  }

  open_step* find(const term_id& term, std::uint64_t step);
  plan make_plan(const timetable::entry& entry) const;
  void issue(outbox& out);
  void send_first(const plan& p, outbox& out) const;
  void send_in_head(const message& m, bool routers, outbox& out) const;
  void broadcast(const message& m, bool routers, outbox& out) const;
  void progress(outbox& out);

  optimizer_settings settings_;
  timetable timetable_;
  std::optional<placement_change> placement_; ///< in force from the next plan on
  std::uint64_t placement_since_ = 0;         ///< first step under it
  bool settled_ = true;
  std::uint64_t next_step_ = 0;
  std::map<std::uint64_t, open_step> open_; ///< two at most
  std::vector<step_summary> summaries_;
  bool exhausted_ = false;
  tick_count ticks_ = 0;
};

} // namespace troupe
