#pragma once

#include "messages/blob.hpp"
#include "messages/error.hpp"

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

/// Where things that can be made again are kept: `$XDG_CACHE_HOME/troupe`, else `~/.cache/troupe`, else
/// nowhere.
std::optional<std::filesystem::path> cache_directory();

/// Bytes that `make` computes once; from then on they are a read-only mapped file.
///
/// `stamp` says what they were made from: another stamp means make again. A cache file that is truncated,
/// damaged (XXH3 over all bytes, milliseconds) or of another stamp is replaced. Processes may do this at the
/// same time: files are only ever renamed into place. Without a directory, or with one that cannot be
/// written, the bytes stay in memory. Errors: those of `make`.
expected<blob> cached_bytes(const std::optional<std::filesystem::path>& directory, std::string_view name,
                            std::string_view stamp, const std::function<expected<blob>()>& make);

/// Size and times of the last changes of a file, as part of a stamp. Error: not_found, unavailable.
expected<std::string> file_stamp(const std::filesystem::path& path);

} // namespace troupe
