#include "model/torch/torch_expert.hpp"

#include <ATen/ops/linear.h>

class one_matrix : public troupe::torch_expert {
public:
  one_matrix(const troupe::configuration& config, const troupe::model_shape& widths, troupe::owner_id owner)
    : torch_expert(config, widths, owner) {
    declare("w", {out(), in()}, in());
  }

  at::Tensor compute(const at::Tensor& x) const override { return at::linear(x, get("w")); }
};

int main() {
  troupe::extensions mine;
  troupe::add_torch_expert<one_matrix>(mine, "one-matrix");
  troupe::configuration config;
  config.model.expert_kind = "one-matrix";
  auto expert = troupe::standard_factory(mine).make_expert(config, {.input_width = 3, .output_width = 2}, {});
  return expert && (*expert)->parameters().size() == 1 && mine.libraries.contains("LibTorch") ? 0 : 1;
}
