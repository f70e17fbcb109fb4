#include "model/checkpoint/safetensors.hpp"

#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;

namespace {

template <class T>
named_tensor named(const std::string& name, shape dims, std::vector<T> values) {
  return {name, tensor::of<T>(dims, std::span<const T>(values))};
}

std::vector<named_tensor> samples() {
  return {named<float>("w1", {2, 3}, {1, -2, 3.5f, 0, 1e-30f, 6}),
          named<double>("b", {2}, {1.0 / 3, -0.0}),
          named<std::int64_t>("ids", {3}, {-1, 0, 1'000'000'000'000}),
          named<std::uint8_t>("pixels", {3, 1}, {0, 127, 255}),
          named<std::int32_t>("scalar", {}, {-7}),
          named<float>("empty", {0, 4}, {})};
}

/// A file: header length, header, and a buffer of that many zeros.
std::string file_of(const std::string& header, std::size_t buffer_bytes) {
  std::uint64_t length = header.size();
  std::string out(reinterpret_cast<const char*>(&length), sizeof length);
  return out + header + std::string(buffer_bytes, '\0');
}

expected<safetensors_file> parsed(const std::string& bytes) {
  return safetensors_file::over(blob::copy_of(std::as_bytes(std::span(bytes))), "model.safetensors");
}

struct bad_file {
  std::string what;
  std::string bytes;
  std::string says;
};

const std::vector<bad_file> bad_files = {
  {"empty file", "", "file length: got 0"},
  {"seven bytes", "1234567", "file length: got 7"},
  {"length beyond 100 MB", std::string("\x01\xe1\xf5\x05\0\0\0\0", 8),
   "header length: got 100000001, limit 100000000"},
  {"length beyond the file", std::string("\x10\0\0\0\0\0\0\0{}", 10), "limit 2 bytes in the file"},
  {"enormous length", std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), "header length"},
  {"empty header", file_of("", 0), "header: got no JSON object"},
  {"array for a header", file_of("[]", 0), "limit one that starts with '{'"},
  {"space before the header", file_of(" {}", 0), "limit one that starts with '{'"},
  {"broken JSON", file_of("{\"a\": ", 0), "header"},
  {"text after the header", file_of("{} x", 0), "header"},
  {"not UTF-8", file_of("{\"\xff\": {}}", 0), "UTF-8"},
  {"a name twice",
   file_of(
     R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
     1),
   "'a': got it twice"},
  {"a key twice in an entry",
   file_of(R"({"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 1),
   "'dtype': got it twice"},
  {"entry is no object", file_of(R"({"a":1})", 0), "tensor 'a', entry: got 1"},
  {"no dtype", file_of(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1), "tensor 'a', dtype: got none"},
  {"unknown dtype", file_of(R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,1]}})", 1),
   "tensor 'a', dtype: got 'F31'"},
  {"no shape", file_of(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1), "tensor 'a', shape: got none"},
  {"negative dimension", file_of(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1),
   "tensor 'a', shape: got dimension -1"},
  {"fractional dimension", file_of(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1),
   "shape: got dimension 1.0"},
  {"textual dimension", file_of(R"({"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}})", 1),
   "shape: got dimension"},
  {"dimensions overflow",
   file_of(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
   "tensor 'a', shape"},
  {"bytes overflow",
   file_of(R"({"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", 0),
   "tensor 'a', shape"},
  {"overflow behind a zero",
   file_of(R"({"a":{"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0),
   "tensor 'a', shape"},
  {"half a byte", file_of(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", 1),
   "limit a whole number of bytes"},
  {"no offsets", file_of(R"({"a":{"dtype":"U8","shape":[1]}})", 1), "tensor 'a', data_offsets: got none"},
  {"three offsets", file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1), "data_offsets"},
  {"negative offset", file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}})", 1),
   "data_offsets"},
  {"begin after end", file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1), "begin <= end"},
  {"end beyond the file", file_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 1),
   "limit 1 bytes in the file"},
  {"length is not the shape's", file_of(R"({"a":{"dtype":"U16","shape":[1],"data_offsets":[0,1]}})", 1),
   "got 1 bytes, limit 2 by shape"},
  {"hole before", file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2),
   "tensor 'a', data_offsets: got begin 1, limit 0; there is a hole"},
  {"hole between",
   file_of(
     R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
     3),
   "tensor 'b'"},
  {"overlap",
   file_of(
     R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
     3),
   "overlaps"},
  {"the same bytes twice",
   file_of(
     R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
     2),
   "overlaps"},
  {"bytes after the last tensor", file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 2),
   "tensor buffer: got 2 bytes, limit 1"},
  {"unknown key", file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"scale":2}})", 1),
   "tensor 'a', key 'scale'"},
  {"metadata that is no text", file_of(R"({"__metadata__":{"n":1}})", 0), "__metadata__ 'n'"},
  {"metadata that is no object", file_of(R"({"__metadata__":"x"})", 0), "__metadata__"},
};

std::string python() {
  return std::string(TROUPE_SOURCE_DIR) + "/build/venv/bin/python";
}

bool has_safetensors_package() {
  try {
    return run({python(), "-c", "import safetensors.numpy"}, std::chrono::seconds(60)).status.success();
  } catch (const std::exception&) {
    return false;
  }
}

std::string bytes_of(const expected<blob>& bytes) {
  return bytes ? std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size())
               : bytes.error().text;
}

} // namespace

TEST_CASE("safetensors files come back as they were", "[unit]") {
  temporary_directory directory;
  const auto written = samples();
  REQUIRE(write_safetensors(directory / "a.safetensors", written, {{"owner", "me"}}).has_value());
  const auto file = safetensors_file::open(directory / "a.safetensors");
  REQUIRE(file.has_value());
  CHECK(file->metadata() == safetensors_metadata{{"owner", "me"}});
  CHECK(file->entries().size() == written.size());
  for (const auto& item : written) {
    const auto value = file->read(item.name);
    REQUIRE(value.has_value());
    CHECK(value->type() == item.value.type());
    CHECK(value->dims() == item.value.dims());
    CHECK(std::ranges::equal(value->data().bytes(), item.value.data().bytes()));
  }
}

TEST_CASE("the same tensors give the same bytes, whatever their order, each one aligned", "[unit]") {
  auto tensors = samples();
  const auto bytes = bytes_of(safetensors_bytes(tensors, {}));
  std::reverse(tensors.begin(), tensors.end());
  CHECK(bytes_of(safetensors_bytes(tensors, {})) == bytes);
  const auto file = parsed(bytes);
  REQUIRE(file.has_value());
  for (const auto& item : tensors)
    CHECK(file->entries().at(item.name).begin % size_of(item.value.type()) == 0);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  CHECK(length % 8 == 0);
}

TEST_CASE("the Python package reads what is written here, and the other way round", "[unit]") {
  if (!has_safetensors_package()) SKIP("the Python package safetensors is not installed");
  temporary_directory directory;
  REQUIRE(write_safetensors(directory / "ours.safetensors", samples(), {{"owner", "me"}}).has_value());
  const auto script = R"(
import sys, numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
t = load_file(sys.argv[1])
assert sorted(t) == ['b', 'empty', 'ids', 'pixels', 'scalar', 'w1'], sorted(t)
assert t['w1'].dtype == np.float32 and (t['w1'] == np.array([[1, -2, 3.5], [0, np.float32(1e-30), 6]], np.float32)).all()
assert t['b'].dtype == np.float64 and t['b'][0] == 1 / 3 and np.signbit(t['b'][1])
assert t['ids'].dtype == np.int64 and list(t['ids']) == [-1, 0, 10**12]
assert t['pixels'].dtype == np.uint8 and t['pixels'].tolist() == [[0], [127], [255]]
assert t['scalar'].shape == () and t['scalar'] == -7 and t['empty'].shape == (0, 4)
assert safe_open(sys.argv[1], 'np').metadata() == {'owner': 'me'}
save_file({'odd': np.arange(3, dtype=np.uint8), 'x': np.arange(6, dtype=np.float32).reshape(3, 2),
           'half': np.ones(2, np.float16)}, sys.argv[2], {'from': 'python'})
)";
  const auto result = run(
    {python(), "-c", script, directory / "ours.safetensors", directory / "theirs.safetensors"},
    std::chrono::seconds(60));
  INFO(result.errors);
  REQUIRE(result.status.success());
  const auto file = safetensors_file::open(directory / "theirs.safetensors");
  REQUIRE(file.has_value());
  CHECK(file->metadata() == safetensors_metadata{{"from", "python"}});
  CHECK(std::ranges::equal(file->read("odd")->as<std::uint8_t>(), std::vector<std::uint8_t>{0, 1, 2}));
  CHECK(file->read("x")->dims() == shape{3, 2});
  CHECK(std::ranges::equal(file->read("x")->as<float>(), std::vector<float>{0, 1, 2, 3, 4, 5}));
  CHECK_THAT(file->read("half").error().text, ContainsSubstring("'half', dtype: got F16"));
}

TEST_CASE("ranges of rows are read without the rest", "[unit]") {
  temporary_directory directory;
  const std::vector<named_tensor> tensors = {named<float>("stack", {4, 1, 2}, {0, 1, 2, 3, 4, 5, 6, 7})};
  REQUIRE(write_safetensors(directory / "a.safetensors", tensors, {}).has_value());
  const auto file = safetensors_file::open(directory / "a.safetensors").value();
  const auto middle = file.read_rows("stack", 1, 2);
  REQUIRE(middle.has_value());
  CHECK(middle->dims() == shape{2, 1, 2});
  CHECK(std::ranges::equal(middle->as<float>(), std::vector<float>{2, 3, 4, 5}));
  CHECK(file.read_rows("stack", 4, 0)->dims() == shape{0, 1, 2});
  CHECK(file.read_rows("stack", 3, 2).error().code == error_code::over_limit);
  CHECK(file.read_rows("stack", -1, 1).error().code == error_code::over_limit);
  CHECK(file.read_rows("other", 0, 1).error().code == error_code::not_found);
}

TEST_CASE("legal files with odd corners are read", "[unit]") {
  // Entries in another order than their bytes, an unaligned f32, an empty tensor, a scalar, spaces at the
  // end.
  auto bytes = file_of(
    R"({"x":{"dtype":"F32","shape":[],"data_offsets":[1,5]},"e":{"dtype":"F64","shape":[2,0],"data_offsets":[1,1]},)"
    R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}    )",
    5);
  const float value = 2.5f;
  std::memcpy(bytes.data() + bytes.size() - 4, &value, 4);
  const auto file = parsed(bytes);
  REQUIRE(file.has_value());
  CHECK(file->read("x")->as<float>()[0] == 2.5f);
  CHECK(file->read("e")->dims() == shape{2, 0});
  CHECK(parsed(file_of("{}", 0))->entries().empty());
  CHECK(parsed(file_of(R"({"f":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}})", 3)).has_value());
  const auto deep = parsed(file_of(R"({"d":{"dtype":"U8","shape":[1,1,1,1,1],"data_offsets":[0,1]}})", 1));
  REQUIRE(deep.has_value());
  CHECK_THAT(deep->read("d").error().text, ContainsSubstring("5 dimensions, limit 4"));
}

TEST_CASE("malformed safetensors files are refused with the name of the tensor", "[unit]") {
  for (const auto& row : bad_files) {
    temporary_directory directory;
    INFO(row.what);
    const auto from_memory = parsed(row.bytes);
    REQUIRE_FALSE(from_memory.has_value());
    CHECK(from_memory.error().code == error_code::malformed);
    CHECK_THAT(from_memory.error().text,
               ContainsSubstring("model.safetensors") && ContainsSubstring(row.says));
    CHECK(from_memory.error().text.find('\n') == std::string::npos);
    CHECK_FALSE(safetensors_file::open(directory.write("model.safetensors", row.bytes)).has_value());
  }
}

TEST_CASE("every truncation of a safetensors file is refused", "[unit]") {
  const auto whole = bytes_of(safetensors_bytes(samples(), {}));
  for (std::size_t size = 0; size < whole.size(); ++size)
    CHECK_FALSE(parsed(whole.substr(0, size)).has_value());
}

TEST_CASE("any one changed byte of a safetensors file is survived", "[unit]") {
  const auto whole = bytes_of(safetensors_bytes(samples(), {{"a", "b"}}));
  for (std::size_t i = 0; i < whole.size(); ++i)
    for (int bit : {0, 3, 7}) {
      auto damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      const auto file = parsed(damaged);
      if (!file) continue;
      for (const auto& [name, entry] : file->entries()) (void)file->read(name);
    }
}

TEST_CASE("tensors that make no file are refused", "[unit]") {
  const auto one = named<float>("a", {1}, {1});
  CHECK_FALSE(safetensors_bytes(std::vector{one, one}, {}).has_value());
  CHECK_FALSE(safetensors_bytes(std::vector<named_tensor>{{"absent", {}}}, {}).has_value());
  CHECK_FALSE(safetensors_bytes(std::vector<named_tensor>{{"__metadata__", one.value}}, {}).has_value());
  CHECK_FALSE(safetensors_bytes(std::vector<named_tensor>{{"\xff", one.value}}, {}).has_value());
}

TEST_CASE("a write that fails leaves the old file and no other", "[unit]") {
  temporary_directory directory;
  const auto path = directory.write("a.safetensors", "old");
  CHECK_FALSE(write_safetensors(directory / "none/a.safetensors", samples(), {}).has_value());
  CHECK_FALSE(write_safetensors(path, std::vector<named_tensor>{{"absent", {}}}, {}).has_value());
  CHECK(read_file(path) == "old");
  REQUIRE(write_safetensors(path, samples(), {}).has_value());
  CHECK(safetensors_file::open(path).has_value());
}
