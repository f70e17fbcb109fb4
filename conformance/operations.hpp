#pragma once

#include "conformance/options.hpp"
#include "conformance/values.hpp"
#include "model/configuration.hpp"
#include "model/routing/losses.hpp"
#include "model/routing/router.hpp"
#include "model/routing/scores.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace troupe::conformance {

// One function per operation: options and inputs in, everything the operation produces out.

values route(const options& o, const values& in);
values route_gradient(const options& o, const values& in);
values bias_update(const options& o, const values& in);
values loss(const options& o, const values& in);
values capacity(const options& o, const values& in);
values metrics(const options& o, const values& in);
values layer(const options& o, const values& in);
values sgd(const options& o, const values& in);
values upcycling(const options& o, const values& in);
values distillation(const options& o, const values& in);
values pruning(const options& o, const values& in);
values placing(const options& o, const values& in);

// What they share.

/// A router object as the options of the production code; fails on unknown names.
router_options read_router(const options& o);

/// Whether the router samples or balances (sinkhorn's option `training`); true for the others.
bool in_training(const options& o);

std::unique_ptr<router<double>> make_rule(const options& o, std::int64_t experts);

/// The random draws that the router reads, from the inputs `normal` or `uniform`; empty if none are given.
std::vector<double> draws_of(const router_needs& needs, const values& in, std::int64_t tokens,
                             std::int64_t experts);

/// Experts, gates, counts and the router's own values, under the names of op `route`.
values routing_values(const options& o, const router_needs& needs, const routing<double>& r,
                      std::int64_t experts);

/// The value of an `expected`, or its error as `case_error`.
template <class T>
T taken(expected<T> v) {
  if (!v) throw case_error(v.error().text);
  return std::move(*v);
}

} // namespace troupe::conformance
