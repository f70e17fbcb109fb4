#include "model/memory.hpp"

#include "model/checks.hpp"
#include "model/message_sizes.hpp"

#include <algorithm>
#include <string>

#include <sys/resource.h>
#include <unistd.h>

namespace troupe {

namespace {

/// A gradient has a number for each parameter.
std::uint64_t gradient_bytes(configuration config, const model_shape& widths) {
  config.optimizer.name = "sgd"; // whose states without momentum are the parameters alone
  config.optimizer.momentum = 0;
  return states_bytes(config, widths);
}

} // namespace

std::uint64_t machine_memory() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES))
         * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t usable_memory() {
  const auto present = machine_memory();
  rlimit space{};
  if (::getrlimit(RLIMIT_AS, &space) != 0 || space.rlim_cur == RLIM_INFINITY) return present;
  return std::min<std::uint64_t>(present, space.rlim_cur);
}

expected<void> check_experts_fit(const configuration& config, const model_shape& widths,
                                 const memory_use& use, std::uint64_t bytes) {
  const auto states = states_bytes(config, widths);
  // States are collected when the last gradient may be gone; no gradient is larger than its expert's state.
  const auto besides = use.collects ? states : use.training ? gradient_bytes(config, widths) : 0;
  const auto& model = config.model;
  checks check;
  check.require(
    states + besides <= bytes, "--expert-hidden-size",
    std::to_string(model.expert_hidden_size) + " with " + std::to_string(model.experts)
      + " experts, at least " + std::to_string(states + besides) + " bytes of parameters"
      + (use.collects   ? " and moments, twice at the end for --save or --print-digest"
         : use.training ? ", moments and gradients"
                        : " and moments"),
    std::to_string(bytes)
      + (use.nodes ? " bytes, the memory of this machine" : " bytes, the memory that this process may use"),
    std::string("choose fewer, or fewer --num-experts")
      + (model.shared_experts > 0 ? " or --num-shared-experts" : "")
      + (use.nodes && use.training ? ", or --listen for nodes on other machines" : ""));
  return check.result();
}

} // namespace troupe
