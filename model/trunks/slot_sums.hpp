#pragma once

#include "messages/tensor.hpp"
#include "model/trunk.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

// Sums over the slots of each token, slots ascending. Experts [T, k], -1 for slots not in use. All in Real.

/// The expert's row of every slot: checked pointers into the parts, null for slots not in use. [T·k]
template <class Real>
std::vector<const Real*> rows_of_slots(const tensor& experts, const slot_rows& outputs, std::int64_t width);

/// y [T, width] = Σ_j gate_tj · row_tj.
template <class Real>
void combine_slots(std::span<const Real* const> rows, std::span<const Real> gates, std::int64_t slots,
                   std::int64_t width, std::span<Real> y);

/// out [T, k] = ⟨dy_t, row_tj⟩, 0 for slots not in use: ∂L/∂gate.
template <class Real>
void gate_gradients(std::span<const Real* const> rows, std::span<const Real> dy, std::int64_t slots,
                    std::int64_t width, std::span<Real> out);

} // namespace troupe
