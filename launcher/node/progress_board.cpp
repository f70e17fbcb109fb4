#include "launcher/node/progress_board.hpp"

#include <utility>

namespace troupe::node {

using seconds = std::chrono::duration<double>;

void progress_board::step_ended(time at) {
  std::lock_guard guard(mutex_);
  last_end_ = at;
}

void progress_board::write(nlohmann::ordered_json fields, std::map<node_id, node_rates> rates) {
  std::lock_guard guard(mutex_);
  fields_ = std::move(fields);
  rates_ = std::move(rates);
}

/// Under the lock.
bool progress_board::silent_at(time now) const {
  const auto rate = fields_.find("steps_per_second");
  if (rate == fields_.end()) return false;
  const seconds silence = now - last_end_;
  return silence > silence_min && (!rate->is_number() || silence.count() * rate->get<double>() > 5);
}

run_progress progress_board::read(time now, const std::string& run_id) const {
  std::lock_guard guard(mutex_);
  auto fields = fields_;
  const bool silent = silent_at(now);
  if (silent) {
    fields["samples_per_second"] = fields["steps_per_second"] = nullptr;
    fields["seconds_since_step"] = seconds(now - last_end_).count();
  }
  fields["run_id"] = run_id;
  return {fields.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace),
          silent ? std::map<node_id, node_rates>() : rates_};
}

} // namespace troupe::node
