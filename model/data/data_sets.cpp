#include "model/data/data_sets.hpp"

#include "model/memory.hpp"

#include <string>

namespace troupe {

namespace {

/// A table that is larger than the memory would end the process without a word.
expected<void> fits_into_memory(const data_options& data) {
  const auto rows = data.gaussian_rows + data.gaussian_rows / 4; // and the test rows
  const auto needed = rows * static_cast<std::uint64_t>(data.gaussian_width) * sizeof(float);
  const auto present = usable_memory();
  if (needed <= present) return {};
  return fail(error_code::usage,
              "--gaussian-rows: got " + std::to_string(data.gaussian_rows) + " rows of "
                + std::to_string(data.gaussian_width) + " numbers, " + std::to_string(needed)
                + " bytes with the test rows, limit " + std::to_string(present)
                + " bytes, the memory that this process may use; choose fewer or a smaller "
                  "--gaussian-width");
}

} // namespace

expected<data_set> open_data(const configuration& config) {
  const auto& data = config.data;
  if (data.name == "fashion-mnist") return open_fashion_mnist(data.directory, config.schedule.seed);
  if (data.name == "gaussian")
    return fits_into_memory(data).map([&] { return make_gaussian(data, config.schedule.seed); });
  if (data.name == "tensors") return open_tensors(data.directory);
  return fail(error_code::usage, "--data: got '" + data.name + "', limit fashion-mnist | gaussian | tensors");
}

} // namespace troupe
