#include "model/checkpoint/strict_json.hpp"

#include <set>
#include <stdexcept>
#include <vector>

namespace troupe {

namespace {

constexpr int depth_max = 32;

/// Watches the parser: throws at a key that its object already has.
class duplicate_watch {
public:
  void see(int depth, nlohmann::json::parse_event_t event, const nlohmann::json& parsed) {
    using event_t = nlohmann::json::parse_event_t;
    if (depth > depth_max) throw std::runtime_error("nesting: got more than 32 levels, limit 32");
    if (event == event_t::object_start) {
      keys_.emplace_back();
    } else if (event == event_t::object_end) {
      keys_.pop_back();
    } else if (event == event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second)
        throw std::runtime_error("key '" + key + "': got it twice, limit once");
    }
  }

private:
  std::vector<std::set<std::string>> keys_;
};

} // namespace

expected<nlohmann::json> parse_strict_json(std::string_view text, const std::string& where) {
  try {
    duplicate_watch watch;
    return nlohmann::json::parse(
      text, [&watch](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
        watch.see(depth, event, parsed);
        return true;
      });
  } catch (const nlohmann::json::exception& problem) {
    return fail(error_code::malformed, "[" + where + "] " + text_of(problem, text.size()));
  } catch (const std::exception& problem) {
    return fail(error_code::malformed, "[" + where + "] " + problem.what());
  }
}

std::string text_of(const nlohmann::json::exception& problem, std::size_t bytes) {
  if (const auto* place = dynamic_cast<const nlohmann::json::parse_error*>(&problem)) {
    const auto at_end = place->byte > bytes;
    return "byte " + std::to_string(at_end ? bytes : place->byte) + ": got "
           + (at_end ? "the end" : "what is no JSON in UTF-8") + ", limit one whole JSON value; "
           + (at_end ? "it was cut" : "it was altered or damaged");
  }
  const std::string what = problem.what(); // "[json.exception.out_of_range.406] number overflow …"
  const auto begin = what.find("] ");
  return begin == std::string::npos ? what : what.substr(begin + 2);
}

} // namespace troupe
