#include "model/data/table_source.hpp"

#include "messages/check.hpp"
#include "model/pixel.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

namespace troupe {

namespace {

void check_table(const data_table& table) {
  const auto rows = table.inputs.rows();
  TROUPE_CHECK(table.inputs.present() && table.inputs.dims().rank() == 2 && rows > 0
                 && rows <= std::numeric_limits<std::int32_t>::max(),
               "a table of " + to_string(table.inputs.dims()));
  TROUPE_CHECK(!table.labels.present() || table.labels.dims() == shape{rows},
               "labels " + to_string(table.labels.dims()));
}

std::int64_t label_of(const tensor& labels, std::size_t row) {
  return labels.type() == dtype::u8 ? labels.as<std::uint8_t>()[row] : labels.as<std::int64_t>()[row];
}

} // namespace

table_source::table_source(data_table train, data_table test, std::int64_t classes, row_order order,
                           std::uint64_t seed)
  : train_(std::move(train)), test_(std::move(test)), classes_(classes), order_(order),
    permutations_(seed, static_cast<std::uint32_t>(train_.inputs.rows())) {
  check_table(train_);
  check_table(test_);
  TROUPE_CHECK(train_.inputs.dims()[1] == test_.inputs.dims()[1]
                 && train_.inputs.type() == test_.inputs.type(),
               to_string(train_.inputs.dims()) + " and " + to_string(test_.inputs.dims()));
}

std::uint64_t table_source::rows(step_kind kind) const {
  return static_cast<std::uint64_t>((kind == step_kind::train ? train_ : test_).inputs.rows());
}

std::int64_t table_source::input_width() const {
  return train_.inputs.dims()[1];
}

std::int64_t table_source::classes() const {
  return classes_;
}

std::vector<double> table_source::input_mean() const {
  if (train_.inputs.type() != dtype::u8) return {};
  const auto width = static_cast<std::size_t>(input_width());
  const auto bytes = train_.inputs.as<std::uint8_t>();
  std::vector<std::uint64_t> sums(width);
  for (std::size_t row = 0; row < bytes.size(); row += width)
    for (std::size_t i = 0; i < width; ++i) sums[i] += bytes[row + i];
  std::vector<double> mean;
  for (const auto sum : sums)
    mean.push_back(static_cast<double>(sum) / (255.0 * static_cast<double>(rows(step_kind::train)))
                   - pixel_mean);
  return mean;
}

samples table_source::read(step_kind kind, std::uint64_t epoch, std::uint64_t first,
                           std::uint64_t count) const {
  const auto& table = kind == step_kind::train ? train_ : test_;
  TROUPE_CHECK(first <= rows(kind) && count <= rows(kind) - first, "rows " + std::to_string(first) + " + "
                                                                     + std::to_string(count) + " of "
                                                                     + std::to_string(rows(kind)));
  const auto shuffled = kind == step_kind::train && order_ == row_order::shuffled;
  const auto order = shuffled ? permutations_.get(epoch) : nullptr;
  const auto n = static_cast<std::int64_t>(count);
  samples result{
    tensor::allocate(table.inputs.type(), {n, input_width()}), {}, tensor::allocate(dtype::i64, {n})};
  if (table.labels.present()) result.labels = tensor::allocate(dtype::i64, {n});

  const auto row_bytes = static_cast<std::size_t>(input_width()) * size_of(table.inputs.type());
  const auto* source = table.inputs.data().data();
  auto inputs = result.inputs.data(); // shares the bytes, which nobody else has yet
  auto ids = result.ids.mutable_as<std::int64_t>();
  if (!shuffled && row_bytes * count != 0)
    std::memcpy(inputs.mutable_data(), source + first * row_bytes, count * row_bytes);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto row = shuffled ? (*order)[first + i] : first + i;
    ids[i] = static_cast<std::int64_t>(row);
    if (shuffled) std::memcpy(inputs.mutable_data() + i * row_bytes, source + row * row_bytes, row_bytes);
    if (table.labels.present()) result.labels.mutable_as<std::int64_t>()[i] = label_of(table.labels, row);
  }
  return result;
}

} // namespace troupe
