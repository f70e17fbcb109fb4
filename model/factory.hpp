#pragma once

#include "messages/error.hpp"
#include "messages/ids.hpp"
#include "model/configuration.hpp"
#include "model/data_source.hpp"
#include "model/expert.hpp"
#include "model/trunk.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace troupe {

/// Widths that the data and the model together fix.
struct model_shape {
  std::int64_t input_width = 0;   ///< of the MoE layer's rows
  std::int64_t output_width = 0;  ///< classes, or the input width for task mean_square
  std::uint64_t input_rows = 0;   ///< only for `learn_inputs`: rows of the data set
  bool byte_inputs = false;       ///< rows travel as u8 pixels
  std::vector<double> input_mean; ///< of the data set: the router sees rows less it; empty: as they are. Only
                                  ///< the head knows it
};

/// Makes the model's parts from a configuration. All functions return an error instead of throwing.
struct model_factory {
  std::function<expected<std::shared_ptr<const data_source>>(const configuration&)> make_data;
  std::function<expected<std::unique_ptr<trunk_module>>(const configuration&, const model_shape&)> make_trunk;
  std::function<expected<std::unique_ptr<dense_module>>(const configuration&, const model_shape&,
                                                        std::uint16_t stage)>
    make_dense;
  std::function<expected<std::unique_ptr<expert_module>>(const configuration&, const model_shape&, owner_id)>
    make_expert;

  /// Like `make_expert`, for one whose parameters are set or loaded before anything else is asked of it: a
  /// standard expert's are 0 until then, instead of drawn for nothing. What a program adds is made as always.
  std::function<expected<std::unique_ptr<expert_module>>(const configuration&, const model_shape&, owner_id)>
    make_unset_expert;
};

/// What a program adds to the standard parts: values handed over by `main`, no registries.
/// Keys are the names that `--expert`, `--router` and `--data` take.
struct extensions;

/// The standard model: data sets, routers, experts and optimizers of this library, plus `more`.
model_factory standard_factory();
model_factory standard_factory(const extensions& more);

/// Widths for a configuration (opens the data set).
expected<model_shape> shape_of(const configuration& config, const data_source& data);

} // namespace troupe
