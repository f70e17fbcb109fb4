#include "model/data/data_sets.hpp"

#include "model/data/permutation.hpp"
#include "model/sha256.hpp"
#include "tests/model/data/gzip.hpp"
#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;

namespace {

namespace fs = std::filesystem;

const fs::path package = "/usr/share/datasets/fashion-mnist";

const std::array<std::string, 4> names = {"train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz",
                                          "train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz"};

/// Links to the four files, so that single ones can be replaced.
void link_files(const temporary_directory& directory) {
  for (const auto& name : names) fs::create_symlink(package / name, directory / name);
}

std::vector<int> histogram(const tensor& labels) {
  std::vector<int> counts(10);
  for (auto label : labels.as<std::int64_t>()) ++counts.at(static_cast<std::size_t>(label));
  return counts;
}

/// Rows in the order of their ids.
tensor by_id(const samples& rows) {
  auto sorted = tensor::allocate(dtype::u8, rows.inputs.dims());
  const auto ids = rows.ids.as<std::int64_t>();
  for (std::size_t i = 0; i < ids.size(); ++i)
    std::memcpy(sorted.mutable_as<std::uint8_t>().data() + ids[i] * 784,
                rows.inputs.as<std::uint8_t>().data() + i * 784, 784);
  return sorted;
}

} // namespace

TEST_CASE("FashionMNIST's mean is that of its training rows, column by column", "[unit]") {
  temporary_directory cache;
  const auto data = open_fashion_mnist({}, 0, cache.path());
  REQUIRE(data.has_value());
  const auto all = (*data)->read(step_kind::train, 0, 0, 60000).inputs;
  const auto pixels = all.as<std::uint8_t>();
  const auto mean = (*data)->input_mean();
  REQUIRE(mean.size() == 784);
  double worst = 0;
  for (std::size_t i = 0; i < 784; ++i) {
    double sum = 0;
    for (std::size_t row = 0; row < 60000; ++row) sum += pixels[row * 784 + i] / 255.0 - 0.286;
    worst = std::max(worst, std::abs(mean[i] - sum / 60000));
  }
  CHECK(worst < 1e-12);
  // 0.2860406 over all pixels is FashionMNIST's published mean.
  CHECK(std::abs(std::accumulate(mean.begin(), mean.end(), 0.0) / 784 + 0.286 - 0.2860406) < 1e-7);
}

TEST_CASE("FashionMNIST holds 6,000 training and 1,000 test images of each class", "[unit]") {
  temporary_directory cache;
  const auto data = open_fashion_mnist({}, 0, cache.path());
  REQUIRE(data.has_value());
  const auto& set = **data;
  CHECK(set.rows(step_kind::train) == 60000);
  CHECK(set.rows(step_kind::evaluate) == 10000);
  CHECK(set.input_width() == 784);
  CHECK(set.classes() == 10);
  CHECK(histogram(set.read(step_kind::train, 0, 0, 60000).labels) == std::vector<int>(10, 6000));
  CHECK(histogram(set.read(step_kind::evaluate, 0, 0, 10000).labels) == std::vector<int>(10, 1000));
}

TEST_CASE("FashionMNIST's pixels are those of the files", "[unit]") {
  // zcat FILE | tail -c +17 | sha256sum
  constexpr auto train_images = "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012";
  constexpr auto test_images = "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a";
  temporary_directory cache;
  for (int opened = 0; opened < 2; ++opened) { // the first builds the cache, the second reads it
    const auto data = open_fashion_mnist({}, 3, cache.path());
    REQUIRE(data.has_value());
    const auto test = (*data)->read(step_kind::evaluate, 0, 0, 10000);
    CHECK(sha256_hex(test.inputs.data().bytes()) == test_images);
    CHECK(reinterpret_cast<std::uintptr_t>(test.inputs.data().data()) % blob::alignment == 0);
    const auto train = (*data)->read(step_kind::train, 1, 0, 60000);
    CHECK(sha256_hex(train.inputs.data().bytes()) != train_images); // shuffled
    CHECK(sha256_hex(by_id(train).data().bytes()) == train_images);
  }
}

TEST_CASE("training rows follow the epoch's shuffle and test rows the file", "[unit]") {
  temporary_directory cache;
  const auto data = open_fashion_mnist({}, 5, cache.path()).value();
  const auto order = epoch_permutation(5, 2, 60000);
  const auto rows = data->read(step_kind::train, 2, 59990, 10);
  const auto test = data->read(step_kind::evaluate, 2, 17, 3);
  for (std::size_t i = 0; i < 10; ++i) CHECK(rows.ids.as<std::int64_t>()[i] == order[59990 + i]);
  CHECK(std::vector<std::int64_t>(test.ids.as<std::int64_t>().begin(), test.ids.as<std::int64_t>().end())
        == std::vector<std::int64_t>{17, 18, 19});
  CHECK(data->read(step_kind::train, 2, 60000, 0).inputs.dims() == shape{0, 784});
}

TEST_CASE("a missing FashionMNIST file names the Debian package and its command", "[unit]") {
  temporary_directory directory, cache;
  for (const auto& missing : names) {
    temporary_directory files;
    link_files(files);
    fs::remove(files / missing);
    const auto data = open_fashion_mnist(files.path(), 0, cache.path());
    REQUIRE_FALSE(data.has_value());
    CHECK(data.error().code == error_code::not_found);
    CHECK_THAT(data.error().text,
               ContainsSubstring(missing) && ContainsSubstring("apt-get install dataset-fashion-mnist"));
  }
  CHECK_THAT(open_fashion_mnist(directory / "nowhere", 0, cache.path()).error().text,
             ContainsSubstring("dataset-fashion-mnist") && ContainsSubstring("--data-dir"));
}

TEST_CASE("FashionMNIST with one altered pixel is refused", "[unit]") {
  temporary_directory files, cache;
  link_files(files);
  const auto real = open_fashion_mnist({}, 0, cache.path()).value();
  const auto rows = by_id(real->read(step_kind::train, 0, 0, 60000));
  std::string pixels(reinterpret_cast<const char*>(rows.data().data()), rows.bytes());
  pixels[30'000'000] = static_cast<char>(pixels[30'000'000] ^ 1);
  fs::remove(files / names[0]);
  files.write(names[0], gzipped(idx_file(0x803, {60000, 28, 28}, pixels)));
  const auto data = open_fashion_mnist(files.path(), 0, cache.path());
  REQUIRE_FALSE(data.has_value());
  CHECK(data.error().code == error_code::malformed);
  CHECK_THAT(data.error().text, ContainsSubstring(names[0]) && ContainsSubstring("SHA-256"));
}

TEST_CASE("a file damaged after the cache was made is noticed", "[unit]") {
  temporary_directory files, cache;
  link_files(files);
  REQUIRE(open_fashion_mnist(files.path(), 0, cache.path()).has_value());
  const auto whole = read_file(package / names[3]);
  fs::remove(files / names[3]);
  files.write(names[3], whole.substr(0, whole.size() / 2));
  const auto data = open_fashion_mnist(files.path(), 0, cache.path());
  REQUIRE_FALSE(data.has_value());
  CHECK_THAT(data.error().text, ContainsSubstring(names[3]) && ContainsSubstring("cut short"));
}
