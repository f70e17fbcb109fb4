// An expert of your own: a squared bilinear layer instead of an MLP. Train with it:
//
//     build/release/bin/troupe train --node-program build/release/bin/example-custom-expert --expert squared

#include "launcher/node/node_main.hpp"
#include "model/torch/torch_expert.hpp"

#include <ATen/ops/linear.h>
#include <ATen/ops/square.h>

class squared : public troupe::torch_expert {
public:
  squared(const troupe::configuration& config, const troupe::model_shape& widths, troupe::owner_id owner)
    : torch_expert(config, widths, owner) {
    declare("w1", {hidden(), in()}, in());
    declare("w2", {out(), hidden()}, hidden());
  }

  at::Tensor compute(const at::Tensor& x) const override {
    return at::linear(at::square(at::linear(x, get("w1"))), get("w2"));
  }
};

int main(int argc, char** argv) {
  troupe::extensions mine;
  troupe::add_torch_expert<squared>(mine, "squared");
  return troupe::node_main(argc, argv, mine);
}
