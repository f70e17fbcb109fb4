#pragma once

#include "messages/error.hpp"
#include "model/configuration.hpp"
#include "model/data/cache.hpp"
#include "model/data_source.hpp"

#include <filesystem>
#include <memory>
#include <optional>

namespace troupe {

using data_set = std::shared_ptr<const data_source>;

/// FashionMNIST (Xiao, Rasul, Vollgraf 2017): 60,000 + 10,000 images of 28 × 28 bytes, 10 classes. Read from
/// the four gzipped IDX files in `directory` (empty: where the Debian package dataset-fashion-mnist puts
/// them), whose SHA-256 must be the published files', and kept decompressed in `cache` so that the next start
/// takes milliseconds. Inputs u8 [n, 784], labels i64. Errors: not_found with the package's name; malformed
/// with the file's.
expected<data_set> open_fashion_mnist(const std::filesystem::path& directory, std::uint64_t seed,
                                      const std::optional<std::filesystem::path>& cache = cache_directory());

/// Gaussian clusters, one per class: a row is its class's centre plus noise, all entries standard normal. A
/// pure function of the seed and the options; no files. Row i is of class i mod classes. Inputs f32 [n,
/// gaussian_width], labels i64.
data_set make_gaussian(const data_options& options, std::uint64_t seed);

/// A safetensors file with `inputs` [n, w] (U8, F32 or F64) and, if it likes, `labels` [n] (I64, I32 or U8,
/// none negative): training and test part alike, in file order. `classes` is the largest label + 1, or 0
/// without labels. Errors: not_found, malformed.
expected<data_set> open_tensors(const std::filesystem::path& file);

/// The data set that `config.data` names. Errors: usage for an unknown name and for clusters beyond the
/// machine's memory.
expected<data_set> open_data(const configuration& config);

} // namespace troupe
