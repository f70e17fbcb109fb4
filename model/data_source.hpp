#pragma once

#include "messages/plan.hpp"
#include "messages/tensor.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// Rows of a data set. `inputs` [n, width], `labels` [n] i64 or absent, `ids` [n] i64.
struct samples {
  tensor inputs;
  tensor labels;
  tensor ids;
};

/// A data set: a pure function of (configuration, kind, ordinal, range). Threading: calls may be concurrent.
class data_source {
public:
  virtual ~data_source() = default;

  /// Rows of the training (or test) part.
  virtual std::uint64_t rows(step_kind kind) const = 0;
  virtual std::int64_t input_width() const = 0;
  virtual std::int64_t classes() const = 0;

  /// Mean of the training rows, [input_width], where columns differ much in theirs, as pixels do: routers see
  /// rows less it (docs/decisions/0010-routers-see-rows-less-their-mean.md). Empty: rows as they are.
  virtual std::vector<double> input_mean() const { return {}; }

  /// Rows [first, first + count) of the order that `epoch` has: a seeded shuffle for training, file order for
  /// evaluation.
  virtual samples read(step_kind kind, std::uint64_t epoch, std::uint64_t first,
                       std::uint64_t count) const = 0;
};

} // namespace troupe
