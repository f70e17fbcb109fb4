#pragma once

#include "actors/mutations.hpp"
#include "actors/outbox.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

namespace troupe {

struct host_settings {
  term_id term;
  node_id node = 0;
  std::uint32_t experts = 0; ///< owners per layer, the shared expert included
  bool fresh_start = true; ///< experts of the first plan start from their initial parameters; otherwise their
                           ///< states are sent by the coordinator
  mutations defects;
};

/// The protocol of a node's front door: takes one bundle per (layer, microbatch), hands its parts to the
/// experts of the node, and sends back one bundle. It computes nothing and remembers no tensors beyond the
/// bundles under way: repeats are answered by the experts.
class host_core {
public:
  explicit host_core(host_settings settings);

  void receive(const plan& p, outbox& out);
  void receive(const commit& c, outbox& out);
  void receive(const dispatch& m, outbox& out);
  void receive(const gradient& m, outbox& out);
  void receive(const owner_state& m, outbox& out);
  void receive(const state_received& m, outbox& out);
  void receive(const state_request& m, outbox& out);

  // From the experts of this node.
  void receive(const expert_output& m, outbox& out);
  void receive(const expert_input_gradient& m, outbox& out);
  void receive(const applied& m, outbox& out);
  void receive(const norm_report& m, outbox& out);
  void receive(const refusal& m, outbox& out);

  /// Experts that live here, those about to leave included.
  std::vector<owner_id> experts() const;

  /// Those of them that have a successor elsewhere.
  std::vector<owner_id> leaving() const;

  /// Messages that wait for their plan, and bundles that wait for their experts.
  std::size_t waiting() const noexcept { return held_.size() + early_states_.size(); }
  std::size_t under_way() const noexcept { return forward_.size() + backward_.size(); }

private:
  /// A bundle on its way back: which experts have answered.
  struct assembly {
    replica_id replica = 0;
    std::vector<owner_tensor> parts;
    std::uint32_t missing = 0;
  };

  /// Steps [begin, end) that an expert does here.
  struct residency {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  struct step_book {
    std::uint64_t step = 0;
    bool last = false;          ///< as in its plan
    std::vector<owner_id> mine; ///< experts of this node under the plan, ascending
    std::set<owner_id> applied_by;
    applied times; ///< sums of the owners' computing times
    std::map<owner_id, double> norms;
    bool answered = false;   ///< a bundle of the step has gone home
    bool unreported = false; ///< all have applied, and the optimizer does not know yet

    bool complete() const { return !mine.empty() && applied_by.size() == mine.size(); }
  };

  bool term_holds(const term_id& t) const { return t == settings_.term || settings_.defects.accept_old_term; }

  void accept(std::shared_ptr<const plan> permission, outbox& out);
  owner_id owner_at(std::size_t index) const;
  std::vector<owner_id> mine(const plan& p) const;
  void settle_residents(const plan& p, const std::vector<owner_id>& here, outbox& out);
  void forward_to_experts(const message& m, outbox& out);
  void settle_report(step_book& book, outbox& out);
  void report_applied(step_book& book, outbox& out);
  applied report_of(const step_book& book) const;
  void report_norms(const step_book& book, outbox& out);
  bool bundle_is_ours(const dispatch& m, const step_book& book) const;
  void open(const work_id& id, replica_id replica, const std::vector<owner_id>& owners,
            std::map<work_id, assembly>& where);
  bool complete(const work_id& id, const owner_id& owner, const tensor& value,
                std::map<work_id, assembly>& where);

  host_settings settings_;
  std::map<owner_id, residency> residents_;
  std::map<std::uint64_t, step_book> steps_; ///< the last two plans
  std::map<work_id, assembly> forward_;
  std::map<work_id, assembly> backward_;
  std::vector<dispatch> held_;            ///< bundles whose plan is not here yet
  std::vector<owner_state> early_states_; ///< states whose plan is not here yet
};

} // namespace troupe
