// A node program whose parts throw, or answer what they must not: for failure_test.cpp.

#include "launcher/node/node_main.hpp"
#include "model/data_source.hpp"
#include "model/experts/mlp_expert.hpp"
#include "model/routing/selection.hpp"
#include "model/torch/torch_expert.hpp"

#include <ATen/ops/matmul.h>

#include <new>
#include <stdexcept>

using namespace troupe;

namespace {

template <class Real>
class broken_router : public router<Real> {
public:
  broken_router(std::int64_t k, bool throws) : k_(k), throws_(throws) {
    // nop
  }

  router_needs needs() const override { return {.slots = k_}; }

  routing<Real> route(const routing_input<Real>& in) const override {
    if (throws_) throw std::runtime_error("the router has lost its way");
    auto out = choose_top_k(in.logits, k_, in.logits);
    softmax_over_slots(out);
    out.experts.back() = 1'000'000;
    return out;
  }

  void backward(const routing_input<Real>&, const routing<Real>&, std::span<const Real>,
                logit_gradient<Real>&) const override {
    // nop
  }

private:
  std::int64_t k_;
  bool throws_;
};

template <class Real, bool Throws>
expected<std::unique_ptr<router<Real>>> make_router(const router_options& options, std::uint32_t) {
  return std::make_unique<broken_router<Real>>(options.experts_per_token, Throws);
}

class broken_expert : public mlp_expert<float> {
public:
  using mlp_expert::mlp_expert;

  forward_result forward(const row_selection&, bool) override {
    throw std::runtime_error("the expert\nhas resigned");
  }
};

/// Trains well, and then says nothing.
class silent_expert : public mlp_expert<float> {
public:
  using mlp_expert::mlp_expert;

  std::vector<named_tensor> parameters() const override {
    throw std::runtime_error("the parameters are a secret");
  }
};

/// Trains well, but takes no parameters.
class stubborn_expert : public mlp_expert<float> {
public:
  using mlp_expert::mlp_expert;

  expected<void> set_parameters(std::span<const named_tensor>) override {
    throw std::runtime_error("the parameters are mine");
  }
};

template <class Expert>
expected<std::unique_ptr<expert_module>> make_expert(const configuration& config, const model_shape& widths,
                                                     owner_id) {
  const mlp_shape shape{widths.input_width, 4, widths.output_width};
  return std::make_unique<Expert>(shape, config.optimizer);
}

/// Takes its matrix for the transpose: what LibTorch throws ends the run.
class skewed_expert : public torch_expert {
public:
  skewed_expert(const configuration& config, const model_shape& widths, owner_id owner)
    : torch_expert(config, widths, owner) {
    declare("w", {out(), in()}, in());
  }

  at::Tensor compute(const at::Tensor& x) const override { return at::matmul(x, get("w")); }
};

/// Forgets that its results have a width of their own.
class idle_expert : public skewed_expert {
public:
  using skewed_expert::skewed_expert;

  at::Tensor compute(const at::Tensor& x) const override { return x; }
};

expected<std::unique_ptr<expert_module>> make_large(const configuration&, const model_shape&, owner_id) {
  throw std::bad_alloc();
}

class broken_data : public data_source {
public:
  explicit broken_data(std::uint64_t rows_whole) : rows_whole_(rows_whole) {
    // nop
  }

  std::uint64_t rows(step_kind) const override { return 64; }
  std::int64_t input_width() const override { return 8; }
  std::int64_t classes() const override { return 2; }

  samples read(step_kind, std::uint64_t, std::uint64_t, std::uint64_t count) const override {
    if (count > rows_whole_) throw std::out_of_range("the rows are gone");
    const auto rows = static_cast<std::int64_t>(count);
    return {tensor::zeros(dtype::f32, {rows, 8}), tensor::zeros(dtype::i64, {rows}),
            tensor::zeros(dtype::i64, {rows})};
  }

private:
  std::uint64_t rows_whole_; ///< that can be read at once
};

/// Counts wrongly: not at all, or with an exception.
class uncounted_data : public broken_data {
public:
  explicit uncounted_data(bool throws) : broken_data(64), throws_(throws) {
    // nop
  }

  std::uint64_t rows(step_kind) const override {
    if (throws_) throw std::runtime_error("nobody has counted the rows");
    return 0;
  }

private:
  bool throws_;
};

template <bool Throws>
expected<std::shared_ptr<const data_source>> make_uncounted(const configuration&) {
  return std::make_shared<uncounted_data>(Throws);
}

template <std::uint64_t RowsWhole>
expected<std::shared_ptr<const data_source>> make_data(const configuration&) {
  return std::make_shared<broken_data>(RowsWhole);
}

} // namespace

int main(int argc, char** argv) {
  extensions mine;
  mine.routers["throws"] = {make_router<float, true>, make_router<double, true>};
  mine.routers["beyond"] = {make_router<float, false>, make_router<double, false>};
  mine.experts["throws"] = make_expert<broken_expert>;
  mine.experts["silent"] = make_expert<silent_expert>;
  mine.experts["stubborn"] = make_expert<stubborn_expert>;
  add_torch_expert<skewed_expert>(mine, "skewed");
  add_torch_expert<idle_expert>(mine, "idle");
  mine.experts["large"] = make_large;
  mine.data_sets["throws"] = make_data<0>;
  mine.data_sets["ends"] = make_data<1>; // enough to see what is in it
  mine.data_sets["uncounted"] = make_uncounted<true>;
  mine.data_sets["empty"] = make_uncounted<false>;
  return node_main(argc, argv, mine);
}
