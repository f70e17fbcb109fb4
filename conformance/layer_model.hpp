#pragma once

#include "conformance/operations.hpp"
#include "model/expert.hpp"
#include "model/trunks/classifier_parts.hpp"
#include "model/trunks/classifier_tape.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe::conformance {

/// What a layer is made of besides its tensors.
struct layer_settings {
  options router;
  std::string activation;        ///< relu | swiglu
  std::optional<options> limit;  ///< object `capacity`; absent: no dropping
  std::optional<options> losses; ///< object: name → coefficient
};

/// One MoE layer of the production code in double precision, all in this process: trunk, experts and dense
/// part as a router and its hosts run them, dispatch plan included.
class layer_model {
public:
  layer_model(const layer_settings& settings, const values& in);

  /// Forward pass; also `backward` if the gradients are wanted. Returns what the layer produced, by the names
  /// of op `layer`.
  values run(bool backward);

  /// Σ parts of the last run.
  double loss() const { return loss_; }

  /// One SGD step of all tensors but x. clip: none | global | local.
  void step(double learning_rate, const std::string& clip, double norm_max);

private:
  struct owner {
    parameter_set* set = nullptr;
    std::unique_ptr<gradient_sum> sum;
    int norm_group = 0; ///< owners of one group share a norm under clip local
  };

  void make_trunk(const layer_settings& settings, const values& in);
  void make_dense(const values& in);
  tensor flat() const;
  void forward(values& out);
  void backward(values& out);
  void add_forward_values(values& out) const;
  void add_dense_gradients(const tensor& gradient, values& out);
  void add_expert_gradients(values& out);

  options router_options_;
  std::int64_t expert_count_ = 0;
  std::int64_t width_ = 0;
  tensor x_;
  tensor token_ids_;
  router_needs needs_;
  bool dropping_ = false;
  std::map<std::string, double> coefficients_;
  classifier_layout layout_;
  std::unique_ptr<trunk_module> trunk_;
  std::vector<std::unique_ptr<expert_module>> experts_; ///< the shared one last
  std::vector<std::string> expert_tensors_;             ///< as the case names them
  std::vector<std::string> shared_tensors_;
  std::string activation_;
  bool shared_ = false;
  std::vector<std::unique_ptr<dense_module>> dense_; ///< the gates, then the shared expert's gate

  // of the last run
  std::unique_ptr<trunk_tape> tape_;
  std::vector<std::unique_ptr<expert_tape>> expert_tapes_;
  std::vector<owner> owners_;
  tensor sent_rows_;
  tensor positions_;
  double loss_ = 0;
  std::function<tensor(const tensor&)> pack_gates_;
};

/// Names of an activation's tensors that the inputs hold, without biases that are not there.
std::vector<std::string> expert_tensor_names(const std::string& activation, const values& in,
                                             const std::string& prefix = {});

/// One expert from its tensors: number `expert` of stacked ones [E, …], or the whole tensor if absent.
std::unique_ptr<expert_module> make_expert(const std::string& activation, const values& in,
                                           const std::vector<std::string>& names,
                                           std::optional<std::int64_t> expert);

} // namespace troupe::conformance
