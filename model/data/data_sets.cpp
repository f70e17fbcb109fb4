#include "model/data/data_sets.hpp"

namespace troupe {

expected<data_set> open_data(const configuration& config) {
  const auto& data = config.data;
  if (data.name == "fashion-mnist") return open_fashion_mnist(data.directory, config.schedule.seed);
  if (data.name == "gaussian") return make_gaussian(data, config.schedule.seed);
  if (data.name == "tensors") return open_tensors(data.directory);
  return fail(error_code::usage, "--data: got '" + data.name + "', limit fashion-mnist | gaussian | tensors");
}

} // namespace troupe
