#include "simulation/members.hpp"

#include "messages/limits.hpp"

namespace troupe::simulation {

optimizer_settings optimizer_settings_of(const scenario& s) {
  optimizer_settings result;
  result.term = current_term;
  result.config = s.config;
  result.replicas = s.replicas;
  result.layers = s.layers;
  result.train_rows = s.train_rows;
  result.test_rows = s.test_rows;
  result.resend_after = 4 * s.resend_after; // a step is several round trips
  return result;
}

coordinator_settings coordinator_settings_of(const scenario& s) {
  coordinator_settings result;
  result.term = current_term;
  result.run_id = "simulated";
  result.configuration_hash = "configuration";
  result.fingerprint = "numerics";
  result.layers = s.layers;
  result.experts = s.config.model.experts;
  result.nodes_expected = s.nodes;
  return result;
}

router_settings router_settings_of(const scenario& s, replica_id replica) {
  constexpr node_id no_node = 0xfff0; // a router that lives apart has no host beside it
  router_settings result;
  result.term = current_term;
  result.replica = replica;
  result.experts = s.config.model.experts;
  result.in_flight = s.in_flight;
  result.local = s.routers_apart ? no_node : node_id{0};
  result.resend_after = s.resend_after;
  result.defects = s.defects;
  return result;
}

owner_settings expert_settings_of(const scenario& s, node_id node, owner_id owner, bool fresh) {
  owner_settings result;
  result.term = current_term;
  result.owner = owner;
  result.index = owner.layer * s.config.model.experts + owner.expert;
  result.node = node;
  result.reports_to = host_address(node);
  result.fresh = fresh;
  result.resend_after = s.resend_after;
  result.defects = s.defects;
  return result;
}

owner_settings dense_settings_of(const scenario& s) {
  owner_settings result;
  result.term = current_term;
  result.owner = {0, owner_id::dense_part, 0};
  result.reports_to = optimizer_address();
  result.defects = s.defects;
  return result;
}

join_request join_request_of(node_id number) {
  join_request result;
  result.protocol = protocol_version;
  result.name = "node-" + std::to_string(number);
  result.fingerprint = "numerics";
  result.run_id = "simulated";
  return result;
}

} // namespace troupe::simulation
