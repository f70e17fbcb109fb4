#include "model/data/data_sets.hpp"

#include "model/checkpoint/safetensors.hpp"
#include "model/data/table_source.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {

tl::unexpected<error> refuse(const std::filesystem::path& file, const std::string& what) {
  return fail(error_code::malformed, "[" + file.string() + "] " + what);
}

template <class T>
expected<void> check_finite(const std::filesystem::path& file, const tensor& inputs) {
  const auto values = inputs.as<T>();
  const auto bad = std::find_if(values.begin(), values.end(), [](T v) { return !std::isfinite(v); });
  if (bad == values.end()) return {};
  const auto index = bad - values.begin();
  return refuse(file, "tensor 'inputs', row " + std::to_string(index / inputs.row_elements()) + ": got "
                        + std::to_string(*bad) + ", limit finite numbers");
}

expected<tensor> read_inputs(const safetensors_file& file) {
  auto inputs = file.read("inputs");
  if (!inputs) return inputs;
  const auto type = inputs->type();
  if (type != dtype::u8 && type != dtype::f32 && type != dtype::f64)
    return refuse(file.path(), "tensor 'inputs': got " + to_string(type) + ", limit u8, f32 or f64");
  if (inputs->dims().rank() != 2 || inputs->dims()[0] < 1 || inputs->dims()[1] < 1
      || inputs->dims()[0] >= INT32_MAX)
    return refuse(file.path(), "tensor 'inputs': got shape " + to_string(inputs->dims())
                                 + ", limit [rows, width], both 1 or more");
  expected<void> finite;
  if (type == dtype::f32) finite = check_finite<float>(file.path(), *inputs);
  if (type == dtype::f64) finite = check_finite<double>(file.path(), *inputs);
  if (!finite) return tl::unexpected(finite.error());
  return inputs;
}

template <class T>
tensor widened(const tensor& from) {
  auto to = tensor::allocate(dtype::i64, from.dims());
  std::ranges::copy(from.as<T>(), to.mutable_as<std::int64_t>().begin());
  return to;
}

expected<tensor> read_labels(const safetensors_file& file, std::int64_t rows) {
  auto labels = file.read("labels");
  if (!labels) return labels;
  if (labels->dims() != shape{rows})
    return refuse(file.path(), "tensor 'labels': got shape " + to_string(labels->dims()) + ", limit ["
                                 + std::to_string(rows) + "], one for each row of 'inputs'");
  if (labels->type() == dtype::u8) return widened<std::uint8_t>(*labels);
  if (labels->type() == dtype::i32) labels = widened<std::int32_t>(*labels);
  if (labels->type() != dtype::i64)
    return refuse(file.path(),
                  "tensor 'labels': got " + to_string(labels->type()) + ", limit i64, i32 or u8");
  const auto values = labels->as<std::int64_t>();
  const auto [low, high] = std::ranges::minmax(values);
  if (low < 0 || high >= INT32_MAX)
    return refuse(file.path(), "tensor 'labels': got " + std::to_string(low < 0 ? low : high)
                                 + ", limit 0 to " + std::to_string(INT32_MAX - 1));
  return labels;
}

} // namespace

expected<data_set> open_tensors(const std::filesystem::path& path) {
  auto file = safetensors_file::open(path);
  if (!file) return tl::unexpected(file.error());
  auto inputs = read_inputs(*file);
  if (!inputs) return tl::unexpected(inputs.error());
  data_table table{*inputs, {}};
  std::int64_t classes = 0;
  if (file->entries().contains("labels")) {
    auto labels = read_labels(*file, inputs->rows());
    if (!labels) return tl::unexpected(labels.error());
    table.labels = *labels;
    classes = std::ranges::max(labels->as<std::int64_t>()) + 1;
  }
  return std::make_shared<const table_source>(table, table, classes, row_order::file, 0);
}

} // namespace troupe
