#pragma once

#include "messages/error.hpp"
#include "model/parameter_set.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

/// How a dense feed-forward network becomes experts (Komatsuzaki 2022; granular: He 2024).
struct upcycle_options {
  std::int64_t experts = 0;
  std::int64_t granularity = 1; ///< G slices of the hidden width; divides experts and width
  std::int64_t experts_per_token = 1;
  bool gates_after_selection = true; ///< softmax over the kept logits, or renormalised; false: probabilities
                                     ///< as they are
};

/// The parts of the mixture.
struct upcycled {
  tensor router;                                  ///< [E, d]
  std::vector<std::vector<named_tensor>> experts; ///< per expert, tensors named as the dense ones
};

/// Expert r·G+j is slice j of the dense network, for R = E/G copies r; the router's first R rows, each G
/// times. Weights are multiplied by c, c^(number of matrices) = G (gates after selection) or R·G²/k. `dense`:
/// w1 [F, d], w2 [d, F], or w_gate, w_up [F, d], w_down [d, F]; the last one is the output. Router: at least
/// R rows. f32 or f64, all alike.
expected<upcycled> upcycle(const upcycle_options& options, const tensor& router,
                           std::span<const named_tensor> dense);

} // namespace troupe
