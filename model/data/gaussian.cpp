#include "model/data/data_sets.hpp"

#include "model/data/table_source.hpp"
#include "model/random.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Rows [first, first + count) of the one endless sequence of rows.
data_table clusters(const data_options& options, std::uint64_t seed, std::int64_t first, std::int64_t count) {
  const auto width = options.gaussian_width;
  const philox_stream centre(seed, "data/gaussian/centre");
  const philox_stream noise(seed, "data/gaussian/noise");
  data_table table{tensor::allocate(dtype::f32, {count, width}), tensor::allocate(dtype::i64, {count})};
  auto values = table.inputs.mutable_as<float>();
  auto labels = table.labels.mutable_as<std::int64_t>();
  for (std::int64_t i = 0; i < count; ++i) {
    const auto row = first + i;
    const auto label = row % options.gaussian_classes;
    labels[static_cast<std::size_t>(i)] = label;
    for (std::int64_t j = 0; j < width; ++j) {
      const auto value = centre.normal(static_cast<std::uint64_t>(label * width + j))
                         + noise.normal(static_cast<std::uint64_t>(row * width + j));
      values[static_cast<std::size_t>(i * width + j)] = static_cast<float>(value);
    }
  }
  return table;
}

} // namespace

data_set make_gaussian(const data_options& options, std::uint64_t seed) {
  const auto rows = static_cast<std::int64_t>(options.gaussian_rows);
  return std::make_shared<const table_source>(
    clusters(options, seed, 0, rows), clusters(options, seed, rows, std::max<std::int64_t>(1, rows / 4)),
    options.gaussian_classes, row_order::shuffled, seed);
}

} // namespace troupe
