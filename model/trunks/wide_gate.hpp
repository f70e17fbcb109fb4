#pragma once

#include "messages/tensor.hpp"
#include "model/parallel.hpp"

#include <cstdint>

namespace troupe {

// The products of `gate_kernels.hpp` for any number of experts. From `wide_gate_experts` on the weight is
// wide enough for the experts' own matrix kernels: rows are unpacked once, in blocks that stay in the cache,
// instead of once for every few experts, and the work is shared with idle threads (with fewer experts, waking
// them takes as long as it saves). Every number is then one chain of fused multiply-adds, over the width for
// logits and over the rows in order for weight gradients: it depends neither on the other rows nor on the
// instruction set.

constexpr std::int64_t wide_gate_experts = 16;

/// out [T, E] = x·wᵀ, w [E, width].
template <class Real>
void gate_product(const tensor& rows, const Real* weight, std::int64_t experts, Real* out,
                  const parallel_for& share = alone);

/// out [E, width] += gᵀ·x, g [T, E].
template <class Real>
void add_gate_gradient(const tensor& rows, const Real* gradient, std::int64_t experts, Real* out,
                       const parallel_for& share = alone);

} // namespace troupe
