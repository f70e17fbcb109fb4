#include "model/trunks/classifier_dense.hpp"

#include "messages/check.hpp"
#include "model/kernels/aligned_buffer.hpp"
#include "model/optimizers/flat_optimizer.hpp"
#include "model/parameters/init.hpp"
#include "model/routing/bias_update.hpp"
#include "model/trunks/classifier_parts.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

namespace troupe {

namespace {

template <class Real>
class classifier_dense : public dense_module {
public:
  classifier_dense(classifier_layout layout, const optimizer_options& optimizer, bias_rule_options bias,
                   std::span<const double> input_mean, std::uint64_t seed, std::uint16_t stage)
    : layout_(std::move(layout)), bias_(bias), parameters_(static_cast<std::size_t>(layout_.size)),
      optimizer_(optimizer, static_cast<std::size_t>(layout_.stepped)) {
    for (const auto& e : layout_.entries)
      if (e.name != "inputs" && e.offset != layout_.bias && e.fan_in > 0)
        init_uniform<Real>(place(e), e.fan_in, seed, stage, owner_id::dense_part, e.name);
    if (layout_.input_mean != classifier_layout::absent)
      std::ranges::transform(input_mean, parameters_.data() + layout_.input_mean,
                             [](double x) { return static_cast<Real>(x); });
  }

  tensor flat() const override { return tensor::of<Real>({layout_.size}, parameters_.span()); }

  std::unique_ptr<gradient_sum> new_sum() override {
    return std::make_unique<sum>(static_cast<std::size_t>(layout_.size));
  }

  std::unique_ptr<gradient_sum> sum_of(const tensor& lane_gradient) override {
    auto out = std::make_unique<sum>(static_cast<std::size_t>(layout_.size));
    if (!lane_gradient.present()) return out;
    const auto from = lane_gradient.as<Real>();
    TROUPE_CHECK(from.size() == out->values.size(), "lane gradient: got " + std::to_string(from.size())
                                                      + " numbers, expected "
                                                      + std::to_string(out->values.size()));
    std::copy(from.begin(), from.end(), out->values.data());
    return out;
  }

  void fold(gradient_sum& into, const gradient_sum& other) override {
    auto& to = values(into);
    const auto& from = values(other);
    for (std::size_t i = 0; i < to.size(); ++i) to.data()[i] += from.data()[i];
  }

  double squared_norm(const gradient_sum& gradient) override {
    double out = 0;
    for (const auto g : stepped(gradient)) out += static_cast<double>(g) * static_cast<double>(g);
    return out;
  }

  void apply(const gradient_sum& gradient, const update& step) override {
    if (layout_.stepped > 0)
      optimizer_.step({parameters_.data(), static_cast<std::size_t>(layout_.stepped)}, stepped(gradient),
                      step);
    if (layout_.bias != classifier_layout::absent)
      apply_bias({values(gradient).data() + layout_.bias, place(layout_.entries.back()).size()});
  }

  tensor save() const override {
    const auto bytes = std::as_bytes(parameters_.span());
    const auto state = optimizer_.saved_bytes();
    auto out = tensor::allocate(dtype::u8, {static_cast<std::int64_t>(bytes.size() + state)});
    auto to = std::as_writable_bytes(out.mutable_as<std::uint8_t>());
    std::copy(bytes.begin(), bytes.end(), to.begin());
    optimizer_.save(to.subspan(bytes.size()));
    return out;
  }

  expected<void> load(const tensor& state) override {
    const auto own = std::as_writable_bytes(parameters_.span());
    if (!state.present() || state.type() != dtype::u8
        || state.bytes() != own.size() + optimizer_.saved_bytes())
      return fail(error_code::malformed, "[dense] state: got " + std::to_string(state.bytes())
                                           + " bytes, expected "
                                           + std::to_string(own.size() + optimizer_.saved_bytes())
                                           + "; was it saved with the same model and optimizer?");
    const auto from = std::as_bytes(state.as<std::uint8_t>());
    if (auto good = optimizer_.load(from.subspan(own.size())); !good) return good;
    std::memcpy(own.data(), from.data(), own.size());
    return {};
  }

  std::vector<named_tensor> parameters() const override {
    std::vector<named_tensor> out;
    for (const auto& e : layout_.entries)
      out.push_back({e.name, tensor::of<Real>(e.dims, {parameters_.data() + e.offset,
                                                       static_cast<std::size_t>(e.dims.elements())})});
    return out;
  }

  expected<void> set_parameters(std::span<const named_tensor> given) override {
    std::vector<const tensor*> found;
    for (const auto& e : layout_.entries) {
      const auto i = std::find_if(given.begin(), given.end(),
                                  [&](const auto& n) { return n.name == e.name; });
      if (i == given.end())
        return fail(error_code::not_found,
                    "[dense] parameter '" + e.name + "': got none, expected " + to_string(e.dims));
      if (!i->value.present() || i->value.type() != dtype_of<Real>() || !(i->value.dims() == e.dims))
        return fail(error_code::mismatch, "[dense] parameter '" + e.name + "': got "
                                            + to_string(i->value.type()) + " " + to_string(i->value.dims())
                                            + ", expected " + to_string(dtype_of<Real>()) + " "
                                            + to_string(e.dims));
      found.push_back(&i->value);
    }
    if (given.size() != layout_.entries.size())
      return fail(error_code::mismatch, "[dense] parameters: got " + std::to_string(given.size())
                                          + ", expected " + std::to_string(layout_.entries.size()));
    for (std::size_t i = 0; i < found.size(); ++i)
      std::copy_n(found[i]->as<Real>().begin(), layout_.entries[i].dims.elements(),
                  place(layout_.entries[i]).begin());
    optimizer_.reset();
    return {};
  }

private:
  struct sum : gradient_sum {
    explicit sum(std::size_t size) : values(size) {
      // nop
    }

    aligned_buffer<Real> values;
  };

  static aligned_buffer<Real>& values(gradient_sum& g) { return static_cast<sum&>(g).values; }

  static const aligned_buffer<Real>& values(const gradient_sum& g) {
    return static_cast<const sum&>(g).values;
  }

  std::span<const Real> stepped(const gradient_sum& g) const {
    return {values(g).data(), static_cast<std::size_t>(layout_.stepped)};
  }

  std::span<Real> place(const classifier_layout::entry& e) {
    return {parameters_.data() + e.offset, static_cast<std::size_t>(e.dims.elements())};
  }

  void apply_bias(std::span<const Real> signal) {
    const auto bias = place(layout_.entries.back());
    if (bias_.rule == router_needs::bias_rule::quantile)
      std::copy(signal.begin(), signal.end(), bias.begin());
    else
      update_bias<Real>(bias, std::vector<double>(signal.begin(), signal.end()), bias_.rate, bias_.recentre);
  }

  classifier_layout layout_;
  bias_rule_options bias_;
  aligned_buffer<Real> parameters_;
  flat_optimizer<Real> optimizer_;
};

template <class Real>
expected<std::unique_ptr<dense_module>> dense_of(const configuration& config, const model_shape& widths,
                                                 const extensions& more) {
  auto parts = make_classifier_parts<Real>(config, widths, more);
  if (!parts) return tl::unexpected(parts.error());
  const bias_rule_options bias{parts->routing_rule->needs().bias, config.model.router.bias_update_rate,
                               config.model.router.bias_recentre};
  return make_classifier_dense<Real>(parts->layout(), config.optimizer, bias, parts->input_mean,
                                     config.schedule.seed, 0);
}

} // namespace

template <class Real>
std::unique_ptr<dense_module>
make_classifier_dense(const classifier_layout& layout, const optimizer_options& optimizer,
                      bias_rule_options bias, std::span<const double> input_mean, std::uint64_t seed,
                      std::uint16_t stage) {
  return std::make_unique<classifier_dense<Real>>(layout, optimizer, bias, input_mean, seed, stage);
}

template std::unique_ptr<dense_module>
make_classifier_dense<float>(const classifier_layout&, const optimizer_options&, bias_rule_options,
                             std::span<const double>, std::uint64_t, std::uint16_t);
template std::unique_ptr<dense_module>
make_classifier_dense<double>(const classifier_layout&, const optimizer_options&, bias_rule_options,
                              std::span<const double>, std::uint64_t, std::uint16_t);

expected<std::unique_ptr<dense_module>>
make_classifier_dense(const configuration& config, const model_shape& widths, const extensions& more) {
  if (config.model.precision == "f32") return dense_of<float>(config, widths, more);
  if (config.model.precision == "f64") return dense_of<double>(config, widths, more);
  return fail(error_code::usage, "[model] precision: got '" + config.model.precision + "', limit f32 | f64");
}

} // namespace troupe
