#include "launcher/ablate/data_identity.hpp"

#include "model/sha256.hpp"

#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

namespace troupe::ablate {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t bytes_at_once = std::size_t{1} << 20;

std::optional<std::string> digest_of_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return {};
  std::ifstream file(path, std::ios::binary);
  std::vector<char> piece(bytes_at_once);
  sha256 hash;
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    hash.update(std::string_view(piece.data(), static_cast<std::size_t>(file.gcount())));
  }
  if (!file.eof()) return {};
  return hash.hex();
}

} // namespace

std::string data_identities::of(const data_options& data) {
  if (data.name == "fashion-mnist" || data.name == "gaussian" || data.directory.empty()) return {};
  const auto path = fs::absolute(data.directory).lexically_normal();
  const auto [known, fresh] = known_.try_emplace(path.string());
  if (fresh) known->second = digest_of_file(path).value_or(path.string());
  return known->second;
}

} // namespace troupe::ablate
