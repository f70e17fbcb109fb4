#pragma once

#include "messages/error.hpp"
#include "messages/plan.hpp"
#include "messages/tensor.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace troupe::node {

/// What the model put out for each row of the test data. Threading: the collector may be called from any
/// thread.
class predictions {
public:
  /// Keeps the outputs of evaluation microbatches.
  std::function<void(const plan&, std::uint32_t microbatch, tensor outputs)> collector();

  /// One safetensors file: `outputs` [rows, out], in the order of the data set.
  expected<void> write(const std::string& path) const;

private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::uint64_t, std::uint32_t>, tensor> outputs_; ///< by (evaluation batch, microbatch)
};

} // namespace troupe::node
