#include "model/extensions.hpp"
#include "model/factory.hpp"
#include "model/run_failure.hpp"

namespace troupe {

namespace {

/// Task and data must fit each other; then the widths follow.
expected<model_shape> shape_from(const configuration& config, std::int64_t width, std::int64_t classes,
                                 bool bytes, std::uint64_t train_rows) {
  model_shape shape;
  shape.input_width = width;
  shape.output_width = width;
  if (config.model.task == "classify") {
    if (classes < 1)
      return fail(error_code::usage, "--data: got '" + config.data.name
                                       + "' without labels, limit labelled rows for task classify");
    shape.output_width = classes;
  }
  shape.byte_inputs = bytes && !config.model.learn_inputs;
  if (config.model.learn_inputs) shape.input_rows = train_rows;
  return shape;
}

} // namespace

expected<model_shape> shape_of(const configuration& config, const data_source& data) {
  try { // it may come from outside
    const auto train_rows = data.rows(step_kind::train);
    if (train_rows == 0 || data.rows(step_kind::evaluate) == 0)
      return fail(error_code::usage, "--data: got '" + config.data.name + "' with 0 rows to "
                                       + (train_rows == 0 ? "train on" : "evaluate") + ", limit at least 1");
    const auto row = data.read(step_kind::evaluate, 0, 0, 1);
    const auto classes = row.labels.present() ? data.classes() : 0;
    auto shape = shape_from(config, data.input_width(), classes, row.inputs.type() == dtype::u8, train_rows);
    if (shape && !config.model.learn_inputs) shape->input_mean = data.input_mean();
    return shape;
  } catch (...) {
    return tl::unexpected(failure_in_flight("data set"));
  }
}

expected<model_shape> shape_without_files(const configuration& config, const model_factory& factory) {
  if (config.data.name == "fashion-mnist") return shape_from(config, 784, 10, true, 60000);
  if (config.data.name == "gaussian")
    return shape_from(config, config.data.gaussian_width, config.data.gaussian_classes, false,
                      config.data.gaussian_rows);
  const auto data = factory.make_data(config);
  if (!data) return tl::unexpected(data.error());
  return shape_of(config, **data);
}

} // namespace troupe
