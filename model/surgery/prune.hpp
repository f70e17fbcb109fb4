#pragma once

#include "messages/error.hpp"
#include "messages/tensor.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

// Which experts a layer can do without, from a record of its routing. Experts [T·k], -1 skipped; gates beside
// them.

/// Tokens per expert.
std::vector<double> score_by_use(std::span<const std::int32_t> experts, std::int64_t expert_count);

/// Σ_t g.
std::vector<double> score_by_gate_mass(std::span<const std::int32_t> experts, std::span<const double> gates,
                                       std::int64_t expert_count);

/// REAP (Lasby 2025): mean over the tokens of an expert of g·‖FFN_e(x)‖₂, 0 without tokens. `norms` beside
/// the gates.
std::vector<double> score_by_reap(std::span<const std::int32_t> experts, std::span<const double> gates,
                                  std::span<const double> norms, std::int64_t expert_count);

/// Experts to remove, lowest score first (lowest index on ties), and those that stay, ascending.
struct pruning {
  std::vector<std::int64_t> removed;
  std::vector<std::int64_t> survivors;
};

/// Delete the same rows of the gate and of the bias; routing then chooses among the survivors, so k ≤
/// survivors must hold.
expected<pruning> prune(std::span<const double> score, std::int64_t remove);

} // namespace troupe
