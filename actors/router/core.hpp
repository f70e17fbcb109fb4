#pragma once

#include "actors/mutations.hpp"
#include "actors/outbox.hpp"
#include "actors/repeat_clock.hpp"
#include "actors/router/dispatch_plan.hpp"
#include "model/trunk.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe {

struct router_settings {
  term_id term;
  replica_id replica = 0;
  std::uint32_t experts = 0;      ///< owners per layer, the shared expert included
  std::uint32_t in_flight = 2;    ///< microbatches at work at the same time
  node_id local = 0;              ///< node of this process: its bundles share memory
  tick_count resend_after = 8;    ///< ticks without an answer before a small message is sent again (see
                                  ///< repeat_clock)
  std::function<double()> now_us; ///< for the phase times in reports only; may be empty
  std::function<void(const plan&, std::uint32_t microbatch, tensor outputs)> on_outputs; ///< of evaluations;
                                                                                         ///< may be empty
  mutations defects;
};

/// Drives one data-parallel replica: fetches microbatches, runs the trunk, dispatches and combines, sends
/// gradients back. Several microbatches are in flight as explicit state machines; the router never waits.
///
/// A microbatch: fetching → at layer l: (forwarding → dispatched → combining) … → backward at layer l:
/// (gradient sent → [input gradient] ) … → dense gradient → finished.
class router_core {
public:
  router_core(router_settings settings, trunk_module& trunk);

  void receive(const plan& p, outbox& out);
  void receive(const batch& m, outbox& out);
  void receive(const combine& m, outbox& out);
  void receive(const input_gradient& m, outbox& out);
  void receive(const dense_parameters& m, outbox& out);

  /// Work that is refused again and again, for a reason that does not pass, ends the run: the coordinator is
  /// told.
  void receive(const refusal& m, outbox& out);

  void finished(std::uint64_t job, outbox& out);

  /// Sends again what has waited too long for its answer.
  void tick(outbox& out);

private:
  enum class progress : std::uint8_t {
    waiting,
    forwarding,
    dispatched,
    combining,
    returning,
    folding,
    finishing,
    finished
  };

  /// A message that wants an answer.
  struct pending {
    envelope letter;
    repeat_clock repeat;
    bool answered = false;
  };

  struct micro {
    std::uint32_t number = 0;
    progress at = progress::waiting;
    std::uint16_t layer = 0;
    std::optional<batch> data;
    std::unique_ptr<trunk_tape> tape;
    std::vector<dispatch_plan> plans; ///< by layer
    std::vector<envelope> letters;    ///< what the running job wants sent
    std::vector<pending> waiting_for; ///< bundles out, by node
    std::vector<tensor> parts;        ///< answers so far, by expert
    tensor dense_gradient;
    microbatch_report report;
    double sent_us = 0;
    std::map<std::string, double> phases;
    std::map<node_id, node_traffic> traffic;
    std::uint64_t bytes_copied = 0;
  };

  struct refused_work {
    std::string reason;
    std::uint32_t times = 0;
  };

  struct step_state {
    std::shared_ptr<const plan> permission;
    std::vector<std::unique_ptr<micro>> micros; ///< this replica's, ascending
    std::set<node_id> told;                     ///< nodes that got the plan with their first bundle
    std::size_t started = 0;
    std::size_t finished = 0;
    std::vector<pending> unconfirmed; ///< gradients that get no answer: kept until plan(step + 2)
    std::map<std::uint32_t, tensor> lane_sums;
    std::map<std::uint32_t, std::uint32_t> next_in_lane;
    std::vector<pending> lane_gradients;     ///< until the dense owner has moved on
    std::map<work_id, refused_work> refused; ///< at most one entry per microbatch and layer
    std::optional<replica_report> report;
  };

  struct running {
    std::uint64_t step = 0;
    micro* at = nullptr;
  };

  bool term_holds(const term_id& t) const { return t == settings_.term || settings_.defects.accept_old_term; }

  step_state* current();
  micro* find(std::uint64_t step, std::uint32_t microbatch);
  void advance(outbox& out);
  void request(step_state& s, micro& m, outbox& out);
  void read_ahead(const plan& p, std::uint32_t microbatch, outbox& out) const;
  pending until_answered(envelope letter) const;
  void post(micro& m, progress next, std::function<void()> work, outbox& out);
  void start(step_state& s, micro& m, outbox& out);
  void forward_layer(micro& m, const plan& p);
  void last_combined(micro& m, const plan& p);
  void backward_layer(micro& m, const plan& p);
  bool collect(micro& m, node_id node, const std::vector<owner_tensor>& values);
  void send_letters(step_state& s, micro& m, outbox& out);
  void combined(step_state& s, micro& m, outbox& out);
  void returned(step_state& s, micro& m, outbox& out);
  void finish_micro(step_state& s, micro& m, outbox& out);
  void fold_lane(step_state& s, micro& m, outbox& out);
  void finish_step(step_state& s, outbox& out);
  void resend(std::vector<pending>& letters, outbox& out);
  double now() const { return settings_.now_us ? settings_.now_us() : 0; }
  void spent(micro& m, const char* phase, double since) const {
    if (settings_.now_us) m.phases[phase] += now() - since;
  }

  router_settings settings_;
  trunk_module& trunk_;
  tick_count ticks_ = 0;
  std::uint64_t step_ = 0;                    ///< the step at work
  std::map<std::uint64_t, step_state> steps_; ///< step-2 … step+1
  std::map<std::uint64_t, tensor> dense_;     ///< parameters by version, the newest two at most
  std::uint64_t newest_dense_ = 0;            ///< newest version of the parameters heard of
  std::map<std::uint64_t, running> jobs_;
  std::uint64_t last_job_ = 0;
  double idle_since_us_ = 0;
};

} // namespace troupe
