#pragma once

#include "messages/error.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace troupe {

/// Parses JSON from outside: valid UTF-8 and nothing after the value; refuses duplicate keys and nesting
/// deeper than 32. `where` names the source in the error text. Error: malformed.
expected<nlohmann::json> parse_strict_json(std::string_view text, const std::string& where);

/// What the parser refused in a text of `bytes` bytes, and where, in our words: "byte 17: got ..., limit
/// ...".
std::string text_of(const nlohmann::json::exception& problem, std::size_t bytes);

} // namespace troupe
