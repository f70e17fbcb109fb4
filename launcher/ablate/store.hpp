#pragma once

#include "launcher/ablate/cell.hpp"
#include "launcher/ablate/result.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace troupe::ablate {

/// The folder of an ablation: `cells/HASH.json` per finished cell, written whole or not at all. One process
/// at a time: the folder is locked while an object of this class lives.
class result_store {
public:
  /// Makes the folder, locks it and clears away what an earlier process left half-done. Errors: `unavailable`
  /// when it cannot be written, holds files but no ablation's, or another process works in it.
  static expected<result_store> open(const std::filesystem::path& folder);

  result_store(result_store&& other) noexcept;
  result_store& operator=(result_store&&) = delete;
  ~result_store();

  /// The result of an earlier run; none when there is no file. Errors: `malformed` when there is one that
  /// cannot be read or belongs to another cell.
  expected<std::optional<cell_result>> find(const cell& of) const;
  expected<void> save(const cell_result& result) const;
  /// How many results there are of other cells than these: of another matrix, or of an earlier state of this
  /// one.
  std::size_t others_than(const std::vector<cell>& cells) const;

  /// Where the cell's process writes its metrics; temporary.
  std::string metrics_path(const cell& of) const;
  /// A file for people beside the cells: "report.html".
  std::filesystem::path path_of(const std::string& name) const { return folder_ / name; }

private:
  result_store(std::filesystem::path folder, int lock) : folder_(std::move(folder)), lock_(lock) {}
  std::filesystem::path result_path(const std::string& hash) const;

  std::filesystem::path folder_;
  int lock_ = -1;
};

} // namespace troupe::ablate
