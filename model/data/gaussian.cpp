#include "model/data/data_sets.hpp"

#include "model/data/table_source.hpp"
#include "model/random.hpp"

#include <algorithm>
#include <vector>

namespace troupe {

namespace {

/// Rows [first, first + count) of the one endless sequence of rows.
data_table clusters(const data_options& options, std::uint64_t seed, std::int64_t first, std::int64_t count) {
  const std::int64_t width = options.gaussian_width;
  const std::int64_t classes = options.gaussian_classes;
  const philox_stream centre(seed, "data/gaussian/centre");
  const philox_stream noise(seed, "data/gaussian/noise");
  data_table table{tensor::allocate(dtype::f32, {count, width}), tensor::allocate(dtype::i64, {count})};
  auto values = table.inputs.mutable_as<float>();
  auto labels = table.labels.mutable_as<std::int64_t>();
  std::vector<double> middle(static_cast<std::size_t>(width)), offset(middle.size());
  const auto draw = [width](const philox_stream& from, std::int64_t row, std::vector<double>& to) {
    from.fill_normal<double>(to, static_cast<std::uint64_t>(row * width));
  };
  // Class by class, so that each centre is drawn once and none is kept.
  for (std::int64_t begin = 0; begin < std::min<std::int64_t>(classes, count); ++begin) {
    const auto label = (first + begin) % classes;
    draw(centre, label, middle);
    for (auto i = begin; i < count; i += classes) {
      labels[static_cast<std::size_t>(i)] = label;
      draw(noise, first + i, offset);
      for (std::size_t j = 0; j < offset.size(); ++j)
        values[static_cast<std::size_t>(i * width) + j] = static_cast<float>(middle[j] + offset[j]);
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
