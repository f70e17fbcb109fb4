#pragma once

#include "messages/tensor.hpp"
#include "model/data/permutation.hpp"
#include "model/data_source.hpp"

#include <cstdint>

namespace troupe {

/// One part of a data set in memory (or in a mapped file).
struct data_table {
  tensor inputs; ///< [n, width] u8, f32 or f64
  tensor labels; ///< [n] u8 or i64, or absent
};

/// What orders the training part has.
enum class row_order { shuffled, file };

/// A data set whose rows are all in memory. Training rows come in the epoch's shuffle unless `order` is
/// `file`; test rows in file order. Reading copies rows into 64-byte-aligned tensors: 784-byte rows at memory
/// speed.
class table_source final : public data_source {
public:
  /// Both parts have at least one row, fewer than 2^31, and the same width and input type (checked, always).
  table_source(data_table train, data_table test, std::int64_t classes, row_order order, std::uint64_t seed);

  std::uint64_t rows(step_kind kind) const override;
  std::int64_t input_width() const override;
  std::int64_t classes() const override;

  /// Of tables of bytes, as the pixels that they stand for. Computed when asked: one pass over the table.
  std::vector<double> input_mean() const override;

  samples read(step_kind kind, std::uint64_t epoch, std::uint64_t first, std::uint64_t count) const override;

private:
  data_table train_;
  data_table test_;
  std::int64_t classes_;
  row_order order_;
  mutable permutation_cache permutations_;
};

} // namespace troupe
