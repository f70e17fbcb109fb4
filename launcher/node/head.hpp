#pragma once

#include "launcher/node/connection_watch.hpp"
#include "launcher/node/event_writer.hpp"
#include "launcher/node/news.hpp"
#include "launcher/node/options.hpp"
#include "launcher/node/predictions.hpp"
#include "launcher/node/progress_board.hpp"
#include "launcher/node/recorder.hpp"
#include "launcher/node/spare_descriptors.hpp"
#include "launcher/node/system.hpp"
#include "model/checkpoint/digest.hpp"
#include "model/extensions.hpp"
#include "model/factory.hpp"

#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace troupe::node {

/// The head process of a run: hires routers, optimizer, loader, dense owner and coordinator, waits for nodes,
/// follows the run to its end, and saves what it was asked to save.
class head {
public:
  head(head_options options, const extensions& more, event_writer& events);

  /// Blocks until the run has ended.
  expected<void> run();

private:
  expected<void> prepare();
  expected<void> check_sizes() const;
  expected<void> load_model();
  expected<void> start_from_model(dense_module& dense, std::map<owner_id, tensor>& states);
  error about_model(error e) const;
  expected<void> hire();
  expected<void> hire_routers(replica_id replicas);
  expected<void> listen();
  void stop_listening();
  expected<void> follow();
  void take(const step_news& step);
  expected<void> finish(const std::map<owner_id, tensor>& states);
  expected<void> hand_over(const std::map<owner_id, tensor>& states);
  void dismiss(const end_run& farewell);
  expected<std::vector<owner_parameters>> parameters_of(const std::map<owner_id, tensor>& states) const;
  coordinator_settings membership() const;
  void report_node(const node_event& e);
  std::uint32_t nodes_expected() const;

  /// Whether the parameters are to be initialised rather than a model's.
  bool fresh() const { return options_.model_directory.empty(); }

  static constexpr int descriptors_to_finish = 16;

  head_options options_;
  const extensions& more_;
  event_writer& events_;
  model_factory factory_;
  std::shared_ptr<const data_source> data_;
  model_shape shape_;
  term_id term_;
  std::uint64_t steps_per_epoch_ = 1;
  std::uint64_t updates_before_ = 0;      ///< of the model that the run started from
  std::string trained_on_;                ///< that model's data set
  std::vector<owner_parameters> initial_; ///< that model's parameters, until the actors have them
  // What actors call back into outlives them: the system waits for them when it goes.
  news_queue news_;
  std::unique_ptr<recorder> recorder_;
  predictions predictions_;
  progress_board progress_;
  std::unique_ptr<system_config> config_;
  std::unique_ptr<caf::actor_system> system_;
  std::optional<refusal_watch> refusals_;
  workplace place_;
  coordinator_actor coordinator_;
  optimizer_actor optimizer_;
  loader_actor loader_;
  dense_actor dense_;
  host_actor host_;
  std::vector<router_actor> routers_;
  std::chrono::steady_clock::time_point begin_;
  bool delivered_ = false; ///< the run is done, its parameters are where they were wanted
  spare_descriptors spare_{descriptors_to_finish}; ///< for what is written at the end
  std::uint16_t port_ = 0;                         ///< where it listens
  std::optional<connection_watch> connections_;    ///< of `port_`
};

} // namespace troupe::node
