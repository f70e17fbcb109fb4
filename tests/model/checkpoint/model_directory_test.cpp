#include "model/checkpoint/model_directory.hpp"

#include "model/checkpoint/file.hpp"
#include "model/checkpoint/safetensors.hpp"
#include "model/random.hpp"
#include "model/sha256.hpp"
#include "tests/support/process.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <unistd.h>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::ContainsSubstring;

namespace {

namespace fs = std::filesystem;

/// A model of three experts, all values drawn from `seed`.
std::vector<owner_parameters> model_of(std::uint64_t seed) {
  const auto values = [seed](const std::string& name, shape dims, std::uint64_t owner) {
    auto value = tensor::allocate(dtype::f32, dims);
    philox_stream(seed, name, owner).fill_normal(value.mutable_as<float>());
    return named_tensor{name, value};
  };
  std::vector<owner_parameters> owners = {{{0, owner_id::dense_part, 0}, {values("gate", {3, 4}, 9)}}};
  for (std::uint16_t e = 0; e < 3; ++e)
    owners.push_back({{0, e, 0}, {values("w1", {5, 4}, e), values("b1", {5}, e), values("w2", {2, 5}, e)}});
  return owners;
}

configuration three_experts() {
  configuration config;
  config.model.experts = 3;
  return config;
}

std::string saved(const std::string& directory, std::uint64_t seed = 1) {
  const auto digest = write_model(directory, three_experts(), 12, model_of(seed));
  INFO((digest ? std::string() : digest.error().text));
  REQUIRE(digest.has_value());
  return *digest;
}

bool same(const std::vector<owner_parameters>& a, const std::vector<owner_parameters>& b) {
  return digest_of(a) == digest_of(b);
}

expected<std::vector<owner_parameters>> load(const std::string& directory) {
  const auto model = model_directory::open(directory);
  if (!model) return tl::unexpected(model.error());
  return model->read_all();
}

/// Checks the shape of every refusal and returns its text.
std::string problem_of(const std::string& directory) {
  const auto model = load(directory);
  REQUIRE_FALSE(model.has_value());
  CHECK(model.error().text.find('\n') == std::string::npos);
  CHECK_THAT(model.error().text, ContainsSubstring("got") || ContainsSubstring("cannot"));
  return model.error().text;
}

void replace(const std::string& path, const std::string& from, const std::string& to) {
  auto text = read_file(path);
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
  temporary_directory scratch;
  fs::copy_file(scratch.write("new", text), path, fs::copy_options::overwrite_existing);
}

/// Changes the manifest and makes its checksum right again, as somebody who knows the format would.
template <class Change>
void forge(const std::string& directory, Change change) {
  auto manifest = nlohmann::json::parse(read_file(directory + "/manifest.json"));
  change(manifest);
  manifest.erase("sha256");
  manifest["sha256"] = sha256_hex(manifest.dump());
  temporary_directory scratch;
  fs::copy_file(scratch.write("new", manifest.dump()), directory + "/manifest.json",
                fs::copy_options::overwrite_existing);
}

std::set<std::string> entries_of(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) names.insert(entry.path().filename());
  return names;
}

const std::set<std::string> all_files = {"manifest.json", "dense-0.safetensors", "expert-0-0.safetensors",
                                         "expert-0-1.safetensors", "expert-0-2.safetensors"};

} // namespace

TEST_CASE("a saved model comes back with its configuration", "[unit]") {
  temporary_directory directory;
  const auto digest = saved(directory / "new/model");
  CHECK(entries_of(directory / "new") == std::set<std::string>{"model"});
  CHECK(entries_of(directory / "new/model") == all_files);
  const auto model = model_directory::open(directory / "new/model").value();
  CHECK(model.description().config == three_experts());
  CHECK(model.description().updates == 12);
  CHECK(model.description().digest == digest);
  CHECK(model.owners()
        == std::vector<owner_id>{{0, owner_id::dense_part, 0}, {0, 0, 0}, {0, 1, 0}, {0, 2, 0}});
  const auto all = model.read_all();
  REQUIRE(all.has_value());
  CHECK(same(*all, model_of(1)));
  const auto one = model.read({0, 1, 0});
  REQUIRE(one.has_value());
  CHECK(one->values.size() == 3);
  CHECK(one->values[0].name == "w1");
  CHECK(one->values[0].value.dims() == shape{5, 4});
  CHECK(model.read({0, 7, 0}).error().code == error_code::not_found);
}

TEST_CASE("saving the same model twice gives the same bytes", "[unit]") {
  temporary_directory directory;
  saved(directory / "a");
  saved(directory / "b");
  for (const auto& name : all_files)
    CHECK(read_file(directory / "a/" + name) == read_file(directory / "b/" + name));
}

TEST_CASE("a script recomputes the digest from the files", "[unit]") {
  temporary_directory directory;
  const auto digest = saved(directory / "model");
  CHECK(digest == digest_of(model_of(1)));
  const auto script = std::string(TROUPE_SOURCE_DIR) + "/scripts/digest.py";
  const auto python = run({TROUPE_PYTHON, script, "--check", directory / "model"}, std::chrono::seconds(60));
  CHECK(python.output == digest + "\n");
  CHECK(python.status.success());
  fs::remove(directory / "model/expert-0-2.safetensors");
  CHECK_FALSE(
    run({TROUPE_PYTHON, script, "--check", directory / "model"}, std::chrono::seconds(60)).status.success());
  CHECK_FALSE(run({TROUPE_PYTHON, script, directory / "nothing"}, std::chrono::seconds(60)).status.success());
}

TEST_CASE("the digest sees every value, name and owner, and no order", "[unit]") {
  auto model = model_of(1);
  const auto digest = digest_of(model);
  std::reverse(model.begin(), model.end());
  std::reverse(model[0].values.begin(), model[0].values.end());
  CHECK(digest_of(model) == digest);
  std::swap(model[0].owner, model[1].owner);
  CHECK(digest_of(model) != digest);
  model = model_of(1);
  model[1].values[0].name = "w0";
  CHECK(digest_of(model) != digest);
  model = model_of(1);
  auto& w1 = model[1].values[0].value;
  w1 = tensor(dtype::f32, {4, 5}, w1.data());
  CHECK(digest_of(model) != digest);
}

TEST_CASE("a model directory with a missing file is refused", "[unit]") {
  temporary_directory directory;
  saved(directory / "model");
  fs::remove(directory / "model/expert-0-1.safetensors");
  CHECK_THAT(problem_of(directory / "model"),
             ContainsSubstring("expert-0-1.safetensors") && ContainsSubstring("w1"));
  CHECK_THAT(problem_of(directory / "model/manifest.json"), ContainsSubstring("is no saved model"));
  fs::remove(directory / "model/manifest.json");
  CHECK_THAT(problem_of(directory / "model"),
             ContainsSubstring("manifest.json") && ContainsSubstring("is no saved model"));
  CHECK(model_directory::open(directory / "none").error().code == error_code::not_found);
}

TEST_CASE("swapped expert files are refused", "[unit]") {
  temporary_directory directory;
  saved(directory / "model");
  fs::rename(directory / "model/expert-0-1.safetensors", directory / "x");
  fs::rename(directory / "model/expert-0-2.safetensors", directory / "model/expert-0-1.safetensors");
  fs::rename(directory / "x", directory / "model/expert-0-2.safetensors");
  CHECK_THAT(problem_of(directory / "model"), ContainsSubstring("expert-0-1.safetensors")
                                                && ContainsSubstring("got expert-0-2, limit expert-0-1"));
}

TEST_CASE("an expert file of another save is refused with the tensor's name", "[unit]") {
  temporary_directory directory;
  saved(directory / "model", 1);
  saved(directory / "other", 2);
  fs::copy_file(directory / "other/expert-0-1.safetensors", directory / "model/expert-0-1.safetensors",
                fs::copy_options::overwrite_existing);
  CHECK_THAT(problem_of(directory / "model"),
             ContainsSubstring("expert-0-1.safetensors] tensor 'w1': got SHA-256"));
}

TEST_CASE("a truncated expert file is refused", "[unit]") {
  temporary_directory directory;
  saved(directory / "model");
  fs::resize_file(directory / "model/expert-0-0.safetensors", 100);
  CHECK_THAT(problem_of(directory / "model"),
             ContainsSubstring("expert-0-0.safetensors] file length: got 100 bytes"));
}

TEST_CASE("any one damaged byte in any file of a model is noticed", "[unit]") {
  temporary_directory directory;
  saved(directory / "model");
  for (const auto& name : all_files) {
    const auto path = directory / "model/" + name;
    const auto whole = read_file(path);
    // Every byte of a tensor file, and every seventh of the longer manifest.
    for (std::size_t i = 0; i < whole.size(); i += name == "manifest.json" ? 7 : 1) {
      auto damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
      directory.write("model/" + name, damaged);
      const auto model = load(directory / "model");
      INFO(name << " byte " << i);
      if (model)
        CHECK((name == "manifest.json" && std::isspace(static_cast<unsigned char>(whole[i])))); // between
                                                                                                // values
      else
        CHECK_THAT(model.error().text, ContainsSubstring(name));
    }
    directory.write("model/" + name, whole);
  }
  CHECK(load(directory / "model").has_value());
}

TEST_CASE("a manifest that was cut is refused with the byte at which it ends", "[unit]") {
  temporary_directory directory;
  saved(directory / "model");
  fs::resize_file(directory / "model/manifest.json", 100);
  CHECK_THAT(model_directory::open(directory / "model").error().text,
             ContainsSubstring("manifest.json] byte 100: got the end"));
}

TEST_CASE("a manifest changed by hand is refused", "[unit]") {
  temporary_directory directory;
  saved(directory / "model");
  replace(directory / "model/manifest.json", "\"updates\": 12", "\"updates\": 13");
  CHECK_THAT(problem_of(directory / "model"),
             ContainsSubstring("manifest.json] sha256") && ContainsSubstring("altered"));
}

TEST_CASE("manifests that contradict the files or themselves are refused", "[unit]") {
  using json = nlohmann::json;
  const auto problem = [](auto change) {
    temporary_directory directory;
    saved(directory / "model");
    forge(directory / "model", change);
    const auto text = problem_of(directory / "model");
    CHECK_THAT(text, ContainsSubstring("manifest.json") || ContainsSubstring(".safetensors"));
    return text;
  };
  CHECK_THAT(problem([](json& m) { m["format"] = "other"; }),
             ContainsSubstring("format: got 'other', limit 'troupe-model'"));
  CHECK_THAT(problem([](json& m) { m["version"] = 2; }), ContainsSubstring("version: got 2, limit 1"));
  CHECK_THAT(problem([](json& m) { m["digest"] = std::string(64, '0'); }),
             ContainsSubstring("digest: got 0000"));
  CHECK_THAT(problem([](json& m) { m["digest"] = "abc"; }),
             ContainsSubstring("digest: got 'abc', limit 64 hex digits"));
  CHECK_THAT(problem([](json& m) { m["configuration"]["model"]["experts"] = 4; }),
             ContainsSubstring("experts of layer 0: got 3, limit 4"));
  CHECK_THAT(problem([](json& m) { m["configuration"]["extra"] = 1; }),
             ContainsSubstring("extra: got an unknown key"));
  CHECK_THAT(problem([](json& m) { m["files"].erase(2); }), ContainsSubstring("without a gap"));
  CHECK_THAT(problem([](json& m) { m["files"].erase(0); }), ContainsSubstring("a dense part"));
  CHECK_THAT(problem([](json& m) { m["files"][2] = m["files"][1]; }), ContainsSubstring("each owner once"));
  CHECK_THAT(problem([](json& m) { m["files"][1]["name"] = "../../etc/passwd"; }),
             ContainsSubstring("limit 'expert-0-0.safetensors'"));
  CHECK_THAT(problem([](json& m) { m["files"][1]["owner"]["layer"] = 70000; }),
             ContainsSubstring("layer: got 70000"));
  CHECK_THAT(problem([](json& m) { m["files"][1]["bytes"] = 5; }), ContainsSubstring("limit 5"));
  CHECK_THAT(problem([](json& m) {
               m["files"][1]["tensors"][0]["shape"] = {4, 5};
             }),
             ContainsSubstring("tensor 'w1'"));
  CHECK_THAT(problem([](json& m) {
               m["files"][1]["tensors"][0]["shape"] = {-4, 5};
             }),
             ContainsSubstring("shape of w1"));
  CHECK_THAT(problem([](json& m) { m["files"][1]["tensors"][0]["name"] = "w9"; }),
             ContainsSubstring("'w9': got none"));
  CHECK_THAT(problem([](json& m) { m["files"][1]["tensors"].erase(0); }),
             ContainsSubstring("tensors: got 3"));
  CHECK_THAT(problem([](json& m) { m["files"] = 3; }),
             ContainsSubstring("files: got number, limit an array"));
  CHECK_THAT(problem([](json& m) { m.erase("updates"); }), ContainsSubstring("updates: got none"));
}

TEST_CASE("saving over a model replaces it as a whole", "[unit]") {
  temporary_directory directory;
  saved(directory / "model", 1);
  CHECK(check_model_target(directory / "model/").has_value());
  saved(directory / "model/", 2);
  CHECK(entries_of(directory.path()) == std::set<std::string>{"model"});
  CHECK(same(load(directory / "model").value(), model_of(2)));
  fs::create_directory(directory / "empty");
  saved(directory / "empty", 3);
  fs::create_directory_symlink(directory / "model", directory / "link");
  saved(directory / "link", 4);
  CHECK(same(load(directory / "model").value(), model_of(4)));
}

TEST_CASE("saving touches nothing that is not a model", "[unit]") {
  temporary_directory directory;
  const auto refused = [&](const std::string& target) {
    const auto check = check_model_target(target);
    const auto write = write_model(target, three_experts(), 0, model_of(1));
    REQUIRE_FALSE(check.has_value());
    REQUIRE_FALSE(write.has_value());
    CHECK(check.error().text == write.error().text);
    CHECK(check.error().text.find('\n') == std::string::npos);
    return check.error();
  };
  fs::create_directory(directory / "home");
  directory.write("home/thesis.tex", "ten years of work");
  CHECK_THAT(refused(directory / "home").text, ContainsSubstring("thesis.tex"));
  CHECK(refused(directory / "home").code == error_code::usage);
  CHECK_THAT(refused(directory / "home/thesis.tex").text, ContainsSubstring("limit a directory"));
  CHECK_THAT(refused(directory / "home/thesis.tex/model").text, ContainsSubstring("limit a directory"));
  CHECK_THAT(refused("").text, ContainsSubstring("empty name"));
  saved(directory / "model");
  directory.write("model/notes.txt", "mine");
  CHECK_THAT(refused(directory / "model").text, ContainsSubstring("notes.txt"));
  fs::remove(directory / "model/notes.txt");
  directory.write("model/manifest.json", "{}");
  CHECK_THAT(refused(directory / "model").text, ContainsSubstring("damaged model"));
  CHECK(read_file(directory / "home/thesis.tex") == "ten years of work");
  CHECK(entries_of(directory.path()) == std::set<std::string>{"home", "model"});
}

TEST_CASE("what a killed save of the same process id has left behind is in nobody's way", "[unit]") {
  temporary_directory directory;
  std::set<std::string> left;
  for (int count = 0; count < 100; ++count) {
    const auto end = ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(count);
    fs::create_directory(directory / ("model" + end));
    directory.write("model" + end + "/dense-0.safetensors", "half");
    directory.write("file" + end, "half");
    left.insert({"model" + end, "file" + end});
  }
  saved(directory / "model");
  CHECK(same(load(directory / "model").value(), model_of(1)));
  REQUIRE(write_file_atomically(directory / "file", "whole"));
  CHECK(read_file(directory / "file") == "whole");
  left.insert({"model", "file"});
  CHECK(entries_of(directory.path()) == left); // it may belong to a save on another machine
}

TEST_CASE("a place that takes no new directory is refused before there is a model", "[unit]") {
  const auto check = check_model_target("/proc/model");
  REQUIRE_FALSE(check.has_value());
  CHECK(check.error().code == error_code::unavailable);
  CHECK_THAT(check.error().text, ContainsSubstring("[/proc] --save: cannot create a directory there"));
  temporary_directory directory;
  CHECK(check_model_target(directory / "new/model").has_value());
  CHECK(fs::is_empty(directory.path())); // trying leaves nothing behind
}

TEST_CASE("an incomplete model is not written", "[unit]") {
  temporary_directory directory;
  auto model = model_of(1);
  model.pop_back();
  CHECK_FALSE(write_model(directory / "model", three_experts(), 0, model).has_value());
  CHECK(fs::is_empty(directory.path()));
}
