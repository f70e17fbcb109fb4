#pragma once

#include "messages/error.hpp"
#include "model/checkpoint/digest.hpp"
#include "model/checkpoint/manifest.hpp"
#include "model/configuration.hpp"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace troupe {

// A trained model on disk: one safetensors file per owner ("dense-0.safetensors", "expert-0-3.safetensors")
// and `manifest.json`, which names them all with the SHA-256 of each file and tensor. Nothing in it depends
// on the nodes that trained it, nor on the time.

/// Whether `write_model` could write there: `directory` is absent or empty in a place that can be written, or
/// holds a model and nothing else. Asked before a run starts, so that it does not fail after it. Errors:
/// usage, unavailable.
expected<void> check_model_target(const std::filesystem::path& directory);

/// Writes a model into a new directory beside `directory`, flushes it and exchanges the two: a reader finds
/// the old model or the new one, never a mixture. Returns the digest. Errors: those of `check_model_target`;
/// unavailable.
expected<std::string> write_model(const std::filesystem::path& directory, const configuration& config,
                                  std::uint64_t updates, std::span<const owner_parameters> owners);

/// A model directory open for reading. Opening reads and checks the manifest; `read` checks the file it
/// reads. Errors: not_found, malformed; the text names file and tensor.
class model_directory {
public:
  static expected<model_directory> open(const std::filesystem::path& directory);

  const model_description& description() const noexcept { return manifest_.description; }

  /// In canonical order.
  std::vector<owner_id> owners() const;

  /// Parameters of one owner, each tensor compared with the manifest.
  expected<owner_parameters> read(owner_id owner) const;

  /// Parameters of all owners in canonical order, compared with the manifest's digest.
  expected<std::vector<owner_parameters>> read_all() const;

private:
  std::filesystem::path path_;
  manifest manifest_;
};

} // namespace troupe
