#include "simulation/scenario.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace troupe::simulation {

namespace {

/// 12 to 30 steps in all, in ragged microbatches.
void draw_schedule(scenario& s, dice& draw) {
  auto& c = s.config.schedule;
  c.seed = draw.next();
  c.num_microbatches = static_cast<std::uint32_t>(draw.between(5, 7));
  c.lanes = 3;
  c.batch_size = draw.between(c.num_microbatches, 18);
  c.max_steps = draw.between(10, 24);
  const auto per_epoch = draw.between(3, 9);
  s.train_rows = c.batch_size * per_epoch - draw.below(c.batch_size); // the last batch is ragged
  c.eval_batch_size = draw.between(4, 12);
  s.test_rows = draw.between(1, 2 * c.eval_batch_size);
  c.eval_interval_epochs = draw.below(3);
  c.evaluate_at_end = draw.chance(0.5);
}

void draw_optimizer(scenario& s, dice& draw) {
  auto& c = s.config.optimizer;
  const char* schedules[] = {"constant", "linear", "cosine"};
  c.schedule = schedules[draw.below(3)];
  c.learning_rate = 0.1;
  c.warmup_steps = draw.below(5);
  c.min_learning_rate = 0.01;
  const auto clipping = draw.below(4); // off, local, global twice
  if (clipping == 0) return;
  c.clip_scope = clipping == 1 ? "local" : "global";
  c.clip_norm = clipping == 1 ? 5.8e3 : 2.4e4 * std::sqrt(s.layers); // near the norms that occur: sometimes
                                                                     // 1, sometimes less
}

void draw_routing(scenario& s, dice& draw) {
  auto& r = s.routing;
  r.experts = s.config.model.experts;
  r.slots = s.config.model.router.experts_per_token;
  r.crowd = draw.chance(0.5) ? draw.fraction() * 0.9 : 0;
  r.dropped = draw.chance(0.3) ? 0.1 : 0;
  if (draw.chance(0.5))
    r.dead = 0xf0f0f0f0f0f0f0f0u >> (4 * draw.below(3)) & ~word{0xf}; // whole nodes at the start
}

void draw_network(scenario& s, dice& draw) {
  auto& n = s.network;
  n.delay_max = draw.between(4, 40);
  if (draw.chance(0.8)) n.lose = draw.fraction() * 0.12;
  if (draw.chance(0.8)) n.duplicate = draw.fraction() * 0.15;
  if (draw.chance(0.7)) n.linger = draw.fraction() * 0.02;
  if (draw.chance(0.7)) n.stale = draw.fraction() * 0.05;
}

/// One node joins and one leaves in most runs; several in some, also at the same time.
void draw_membership(scenario& s, dice& draw) {
  const auto rounds = draw.chance(0.3) ? draw.between(2, 4) : draw.chance(0.85) ? 1 : 0;
  for (word i = 0; i < 2 * rounds; ++i)
    s.membership.push_back({draw.below(s.config.schedule.max_steps - 2), draw.below(120),
                            i % 2 == 0 ? membership_event::kind::joins : membership_event::kind::leaves,
                            draw.next()});
}

/// Fewer experts than nodes in some runs: hosts without any, which may also die.
void draw_idle_hosts(scenario& s, dice& draw) {
  if (!draw.chance(0.25)) return;
  s.config.model.experts = static_cast<std::uint32_t>(draw.between(3, 5));
  if (s.nodes > 0) s.nodes = static_cast<std::uint32_t>(draw.between(4, 7));
  for (auto deaths = draw.below(3); deaths > 0; --deaths)
    s.membership.push_back({draw.below(s.config.schedule.max_steps - 2), draw.below(120),
                            membership_event::kind::dies, draw.next()});
}

} // namespace

scenario draw_scenario(word seed, const scenario_wishes& wishes) {
  scenario s;
  s.seed = seed;
  s.defects = wishes.defects;
  dice draw(mix(seed, word{1}));
  s.layers = static_cast<std::uint16_t>(draw.between(1, 2));
  s.in_flight = static_cast<std::uint32_t>(draw.between(1, 4));
  s.nodes = draw.chance(0.05) ? 0 : 4;
  s.routers_apart = draw.chance(0.3);
  s.learn_inputs = draw.chance(0.3);
  s.wire = draw.chance(0.25);
  s.job_max = draw.between(1, 16);
  s.small_jobs = draw.chance(0.5) ? draw.fraction() : 0;
  if (draw.chance(0.25)) s.slow = static_cast<node_id>(draw.between(0, 4));
  if (wishes.layers) s.layers = *wishes.layers;
  if (wishes.in_flight) s.in_flight = *wishes.in_flight;
  if (wishes.replicas) s.replicas = *wishes.replicas;
  if (wishes.wire) s.wire = *wishes.wire;
  s.config.model.experts = 16;
  s.config.model.router.experts_per_token = 3;
  draw_schedule(s, draw);
  dice apart(mix(seed, word{4}));
  draw_idle_hosts(s, apart);
  if (wishes.nodes) s.nodes = *wishes.nodes;
  draw_optimizer(s, draw);
  draw_routing(s, draw);
  draw_network(s, draw);
  draw_membership(s, draw);
  if (wishes.updates) s.config.schedule.max_steps = *wishes.updates;
  if (wishes.quiet_network) s.network = {};
  if (wishes.fixed_members || s.nodes == 0) s.membership.clear();
  return s;
}

std::string to_string(const scenario& s) {
  const auto& c = s.config;
  const auto count = [&](membership_event::kind what) {
    return static_cast<int>(std::ranges::count(s.membership, what, &membership_event::what));
  };
  char text[512];
  std::snprintf(text, sizeof text,
                "%u layers of %u experts, %u nodes, %u replicas%s, %llu updates of %llu rows in %u "
                "microbatches, %u in flight, "
                "clip %s, loss %.2f, duplicates %.2f, late %.3f, stale %.2f, %d join, %d leave, %d die%s",
                unsigned{s.layers}, c.model.experts, s.nodes, s.replicas, s.routers_apart ? " apart" : "",
                static_cast<unsigned long long>(c.schedule.max_steps),
                static_cast<unsigned long long>(c.schedule.batch_size), c.schedule.num_microbatches,
                s.in_flight, c.optimizer.clip_norm == 0 ? "off" : c.optimizer.clip_scope.c_str(),
                s.network.lose, s.network.duplicate, s.network.linger, s.network.stale,
                count(membership_event::kind::joins), count(membership_event::kind::leaves),
                count(membership_event::kind::dies), s.wire ? ", encoded" : "");
  return text;
}

namespace {

constexpr std::pair<const char*, bool mutations::*> mutation_table[] = {
  {"apply_duplicates", &mutations::apply_duplicates}, {"accept_old_term", &mutations::accept_old_term},
  {"forget_replies", &mutations::forget_replies},     {"omit_empty_bundles", &mutations::omit_empty_bundles},
  {"fold_by_arrival", &mutations::fold_by_arrival},
};

} // namespace

const std::vector<std::string>& mutation_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (auto& [name, member] : mutation_table) result.emplace_back(name);
    return result;
  }();
  return names;
}

std::optional<mutations> mutation_named(const std::string& name) {
  for (auto& [known, member] : mutation_table) {
    if (name != known) continue;
    mutations result;
    result.*member = true;
    return result;
  }
  return std::nullopt;
}

} // namespace troupe::simulation
