#include "model/data/data_sets.hpp"

#include "model/data/idx.hpp"
#include "model/data/table_source.hpp"

#include <array>
#include <cstring>

namespace troupe {

namespace {

const std::filesystem::path package_directory = "/usr/share/datasets/fashion-mnist";

constexpr std::int64_t width = 28 * 28;
constexpr std::int64_t classes = 10;
constexpr std::int64_t train_rows = 60000;
constexpr std::int64_t test_rows = 10000;

/// In the order in which the cache holds them; each image part ends on a multiple of 64 bytes.
const std::array<idx_expectation, 4>& files() {
  static const std::array<idx_expectation, 4> wanted = {{
    {"train-images-idx3-ubyte.gz",
     {60000, 28, 28},
     "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
    {"t10k-images-idx3-ubyte.gz",
     {10000, 28, 28},
     "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"},
    {"train-labels-idx1-ubyte.gz",
     {60000},
     "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"},
    {"t10k-labels-idx1-ubyte.gz",
     {10000},
     "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"},
  }};
  return wanted;
}

error with_package(error problem) {
  if (problem.code == error_code::not_found)
    problem
      .text += "; install the Debian package dataset-fashion-mnist (apt-get install dataset-fashion-mnist)"
               " or point --data-dir at its four .gz files";
  return problem;
}

expected<std::string> stamp_of(const std::filesystem::path& directory) {
  std::string stamp = "fashion-mnist layout 1";
  for (const auto& file : files()) {
    auto part = file_stamp(directory / file.name);
    if (!part) return tl::unexpected(with_package(part.error()));
    stamp += "\n" + file.sha256 + " " + *part;
  }
  return stamp;
}

/// All four parts behind each other.
expected<blob> decompress(const std::filesystem::path& directory) {
  auto all = blob::allocate((train_rows + test_rows) * (width + 1));
  std::size_t offset = 0;
  for (const auto& file : files()) {
    auto part = read_idx_gz(directory, file);
    if (!part) return tl::unexpected(with_package(part.error()));
    std::memcpy(all.mutable_data() + offset, part->data(), part->size());
    offset += part->size();
  }
  return all;
}

/// One cache file per directory, so that two of them do not push each other out.
std::string cache_name(const std::filesystem::path& directory) {
  std::string name = "fashion-mnist";
  if (directory == package_directory) return name + ".rows";
  std::error_code problem;
  const auto full = std::filesystem::weakly_canonical(directory, problem);
  return name + "-" + std::to_string(std::hash<std::string>{}(full.string())) + ".rows";
}

tensor part_of(const blob& all, std::int64_t offset, shape dims) {
  return {dtype::u8, dims,
          all.part(static_cast<std::size_t>(offset), static_cast<std::size_t>(dims.elements()))};
}

} // namespace

expected<data_set> open_fashion_mnist(const std::filesystem::path& directory, std::uint64_t seed,
                                      const std::optional<std::filesystem::path>& cache) {
  const auto from = directory.empty() ? package_directory : directory;
  const auto stamp = stamp_of(from);
  if (!stamp) return tl::unexpected(stamp.error());
  const auto all = cached_bytes(cache, cache_name(from), *stamp, [&] { return decompress(from); });
  if (!all) return tl::unexpected(all.error());
  constexpr auto test_images = train_rows * width;
  constexpr auto train_labels = test_images + test_rows * width;
  constexpr auto test_labels = train_labels + train_rows;
  data_table train{part_of(*all, 0, {train_rows, width}), part_of(*all, train_labels, {train_rows})};
  data_table test{part_of(*all, test_images, {test_rows, width}), part_of(*all, test_labels, {test_rows})};
  return std::make_shared<const table_source>(std::move(train), std::move(test), classes, row_order::shuffled,
                                              seed);
}

} // namespace troupe
