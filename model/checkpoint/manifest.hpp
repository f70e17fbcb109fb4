#pragma once

#include "messages/error.hpp"
#include "messages/ids.hpp"
#include "model/configuration.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// What a saved model is, beside its parameters.
struct model_description {
  configuration config;
  std::uint64_t updates = 0; ///< optimizer steps that the parameters have seen
  std::string digest;        ///< `digest_of` the parameters
};

/// One tensor of a file, as it must be.
struct manifest_tensor {
  std::string name;
  std::string type; ///< safetensors dtype
  std::vector<std::int64_t> dims;
  std::string sha256; ///< of the elements' bytes
};

/// One file of the directory.
struct manifest_file {
  owner_id owner;
  std::string name; ///< `owner_name(owner)` + ".safetensors"
  std::uint64_t bytes = 0;
  std::string sha256;
  std::vector<manifest_tensor> tensors;
};

/// `manifest.json`: names every file of a saved model. Its own last field, `sha256`, is over the rest of it.
struct manifest {
  static constexpr const char* file_name = "manifest.json";
  static constexpr const char* format = "troupe-model";
  static constexpr std::uint32_t version = 1;

  model_description description;
  std::vector<manifest_file> files; ///< in canonical order of the owners

  std::string to_json() const;

  /// Checks everything that the manifest alone can show: format and version, its checksum, the configuration,
  /// file names, owners in canonical order, and that every layer has all experts. Error: malformed; `where`
  /// is the file's path.
  static expected<manifest> parse(const std::string& text, const std::string& where);
};

} // namespace troupe
