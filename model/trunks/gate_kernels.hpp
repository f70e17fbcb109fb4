#pragma once

#include "messages/tensor.hpp"

#include <cstdint>

namespace troupe {

// Products of layer inputs with short weights (E = 4 … 256 rows). Rows are [T, width] u8 (pixels: value /
// 255 − mean, model/pixel.hpp), f32 or f64. A row's result does not depend on the other rows, and no result
// on the instruction set: each dot product is 16 partial sums by index mod 16, added up in one tree; each
// weight gradient is one sum over the rows in order. The mean of pixels is taken off sums of whole bytes, by
// the sums of w and of g.

/// out [T, E] = x·wᵀ, w [E, width].
template <class Real>
void gate_logits(const tensor& rows, const Real* weight, std::int64_t experts, Real* out);

/// out [E, width] += gᵀ·x, g [T, E].
template <class Real>
void add_gate_weight_gradient(const tensor& rows, const Real* gradient, std::int64_t experts, Real* out);

/// out [T, width] += g·w, experts ascending.
template <class Real>
void add_gate_input_gradient(const Real* gradient, const Real* weight, std::int64_t tokens,
                             std::int64_t experts, std::int64_t width, Real* out);

} // namespace troupe
