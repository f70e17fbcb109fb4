#include "simulation/naming.hpp"

namespace troupe::simulation {

namespace {

template <class M>
const char* name_of() {
  if constexpr (std::is_same_v<M, plan>)
    return "plan";
  else if constexpr (std::is_same_v<M, norm_report>)
    return "norm_report";
  else if constexpr (std::is_same_v<M, commit>)
    return "commit";
  else if constexpr (std::is_same_v<M, applied>)
    return "applied";
  else if constexpr (std::is_same_v<M, fetch>)
    return "fetch";
  else if constexpr (std::is_same_v<M, batch>)
    return "batch";
  else if constexpr (std::is_same_v<M, dispatch>)
    return "dispatch";
  else if constexpr (std::is_same_v<M, combine>)
    return "combine";
  else if constexpr (std::is_same_v<M, gradient>)
    return "gradient";
  else if constexpr (std::is_same_v<M, input_gradient>)
    return "input_gradient";
  else if constexpr (std::is_same_v<M, dense_gradient>)
    return "dense_gradient";
  else if constexpr (std::is_same_v<M, dense_parameters>)
    return "dense_parameters";
  else if constexpr (std::is_same_v<M, refusal>)
    return "refusal";
  else if constexpr (std::is_same_v<M, replica_report>)
    return "replica_report";
  else if constexpr (std::is_same_v<M, placement_change>)
    return "placement_change";
  else if constexpr (std::is_same_v<M, placement_settled>)
    return "placement_settled";
  else if constexpr (std::is_same_v<M, owner_state>)
    return "owner_state";
  else if constexpr (std::is_same_v<M, state_received>)
    return "state_received";
  else if constexpr (std::is_same_v<M, state_request>)
    return "state_request";
  else if constexpr (std::is_same_v<M, release>)
    return "release";
  else if constexpr (std::is_same_v<M, ready>)
    return "ready";
  else if constexpr (std::is_same_v<M, expert_plan>)
    return "plan";
  else if constexpr (std::is_same_v<M, expert_forward>)
    return "expert_forward";
  else if constexpr (std::is_same_v<M, expert_output>)
    return "expert_output";
  else if constexpr (std::is_same_v<M, expert_backward>)
    return "expert_backward";
  else
    return "expert_input_gradient";
}

std::string number(std::uint64_t x) {
  return std::to_string(x);
}

/// What tells this message from others of its kind.
template <class M>
std::string details(const M& m) {
  if constexpr (requires { m.id.microbatch; }) {
    return " " + number(m.id.step) + "/" + number(m.id.microbatch) + "/" + number(m.id.layer);
  } else if constexpr (requires {
                         m.step;
                         m.microbatch;
                       }) {
    return " " + number(m.step) + "/" + number(m.microbatch);
  } else if constexpr (requires {
                         m.step;
                         m.lane;
                       }) {
    return " " + number(m.step) + ", lane " + number(m.lane);
  } else if constexpr (requires {
                         m.owner;
                         m.version;
                       }) {
    return " " + to_string(m.owner) + " at " + number(m.version);
  } else if constexpr (requires { m.permission; }) {
    return details(*m.permission);
  } else if constexpr (requires { m.step; }) {
    return " " + number(m.step);
  } else if constexpr (requires { m.version; }) {
    return " " + number(m.version);
  } else {
    return "";
  }
}

template <class M>
term_id term_of(const M& m) {
  if constexpr (requires { m.id.term; })
    return m.id.term;
  else if constexpr (requires { m.permission; })
    return m.permission->term;
  else
    return m.term;
}

} // namespace

std::string to_string(const owner_id& o) {
  return o.is_dense() ? "dense " + number(o.layer) : "expert " + number(o.layer) + "/" + number(o.expert);
}

std::string to_string(const address& a) {
  switch (a.who) {
    case role::optimizer: return "optimizer";
    case role::loader: return "loader";
    case role::coordinator: return "coordinator";
    case role::router: return "router " + number(a.index);
    case role::host: return "host " + number(a.index);
    case role::dense: return "dense " + number(a.index);
    case role::expert: return to_string(a.owner) + " on node " + number(a.index);
  }
  return "?";
}

std::string to_string(const message& m, const term_id& current) {
  return std::visit(
    [&](const auto& x) {
      std::string text = name_of<std::decay_t<decltype(x)>>() + details(x);
      if constexpr (std::is_same_v<std::decay_t<decltype(x)>, refusal>) text += " \"" + x.reason + "\"";
      return term_of(x) == current ? text : text + " (old term)";
    },
    m);
}

} // namespace troupe::simulation
