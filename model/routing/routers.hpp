#pragma once

#include "model/routing/router.hpp"

#include <cstdint>
#include <memory>

namespace troupe {

// One maker per rule, each in a file of its own name. They take sound options; `make_router` checks them. E
// experts.

template <class Real>
std::unique_ptr<router<Real>> make_softmax(std::int64_t k, bool renormalise);

template <class Real>
std::unique_ptr<router<Real>> make_softmax_post(std::int64_t k);

template <class Real>
std::unique_ptr<router<Real>> make_sigmoid_bias(std::int64_t k, double scale);

/// How a group-limited choice is masked and gated.
struct group_limit {
  std::int64_t groups = 1;      ///< n_group
  std::int64_t groups_kept = 1; ///< topk_group
  bool mask_with_zero = false;  ///< group_mask=zero instead of -∞
};

template <class Real>
std::unique_ptr<router<Real>> make_group_limited_sigmoid(std::int64_t k, double scale, group_limit limit);

template <class Real>
std::unique_ptr<router<Real>> make_group_limited_softmax(std::int64_t k, double scale, group_limit limit);

template <class Real>
std::unique_ptr<router<Real>> make_noisy_top_k(std::int64_t k, double floor);

enum class second_expert { random, threshold, gumbel, all };

template <class Real>
std::unique_ptr<router<Real>> make_gshard(second_expert second, double threshold);

template <class Real>
std::unique_ptr<router<Real>> make_sinkhorn(std::int64_t k, double tolerance, double epsilon);

template <class Real>
std::unique_ptr<router<Real>> make_expert_choice(double capacity_factor);

template <class Real>
std::unique_ptr<router<Real>> make_hash(std::uint64_t seed);

/// The expert of a sample is its label modulo E.
template <class Real>
std::unique_ptr<router<Real>> make_task();

template <class Real>
std::unique_ptr<router<Real>> make_quantile(std::int64_t k);

} // namespace troupe
