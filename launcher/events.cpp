#include "launcher/events.hpp"

#include <nlohmann/json.hpp>

#include <limits>
#include <map>

namespace troupe::launcher {

namespace {

using json = nlohmann::json;

/// Numbers that JSON cannot hold (NaN, infinity) are written as null.
double number(const json& fields, const char* name) {
  const auto found = fields.find(name);
  if (found == fields.end()) return 0;
  return found->is_null() ? std::numeric_limits<double>::quiet_NaN() : found->get<double>();
}

std::uint64_t count(const json& fields, const char* name) {
  return fields.value(name, std::uint64_t{0});
}

std::string text(const json& fields, const char* name) {
  return fields.value(name, std::string());
}

rows_per_expert rows(const json& fields) {
  return fields.value("expert_rows", rows_per_expert());
}

any_event read_listening(const json& fields) {
  return listening_event{text(fields, "host"), fields.value("port", std::uint16_t{0}),
                         text(fields, "run_id")};
}

any_event read_node(const json& fields) {
  return node_event{fields.value("node", 0U), text(fields, "name"), text(fields, "state"),
                    text(fields, "reason")};
}

any_event read_joined(const json& fields) {
  return joined_event{fields.value("node", 0U), text(fields, "name"), text(fields, "run_id")};
}

any_event read_idle(const json& fields) {
  return idle_event{fields.value("names", std::vector<std::string>())};
}

any_event read_start(const json& fields) {
  return start_event{count(fields, "train_steps"), count(fields, "steps_per_epoch"),
                     text(fields, "aux_name")};
}

std::map<std::string, measured_loss> measured_losses(const json& fields) {
  std::map<std::string, measured_loss> result;
  const auto losses = fields.value("losses", std::map<std::string, json>());
  for (const auto& [name, loss] : losses) result[name] = {number(loss, "value"), number(loss, "at_balance")};
  return result;
}

any_event read_step(const json& fields) {
  step_event step;
  step.step = count(fields, "step");
  step.of = count(fields, "of");
  step.epoch = count(fields, "epoch");
  step.loss = number(fields, "loss");
  if (fields.contains("aux")) step.aux = number(fields, "aux");
  step.z = number(fields, "z");
  step.learning_rate = number(fields, "lr");
  step.samples_per_second = number(fields, "samples_per_second");
  step.expert_rows = rows(fields);
  step.entropy = number(fields, "entropy");
  step.dead_experts = count(fields, "dead_experts");
  step.bytes_sent = count(fields, "bytes_sent");
  step.losses = measured_losses(fields);
  return step;
}

any_event read_evaluation(const json& fields) {
  return evaluation_event{number(fields, "accuracy"), number(fields, "loss"), count(fields, "rows"),
                          count(fields, "epoch"), rows(fields)};
}

any_event read_digest(const json& fields) {
  return digest_event{text(fields, "sha256")};
}

any_event read_saved(const json& fields) {
  return saved_event{text(fields, "directory")};
}

any_event read_warning(const json& fields) {
  return warning_event{text(fields, "text")};
}

any_event read_error(const json& fields) {
  return error_event{error_code_named(text(fields, "code")), text(fields, "text")};
}

any_event read_done(const json& fields) {
  return done_event{number(fields, "seconds"), number(fields, "samples_per_second")};
}

using reader = any_event (*)(const json&);
const std::map<std::string, reader, std::less<>> readers = {
  {"listening", read_listening}, {"node", read_node},
  {"joined", read_joined},       {"start", read_start},
  {"step", read_step},           {"digest", read_digest},
  {"saved", read_saved},         {"evaluation", read_evaluation},
  {"warning", read_warning},     {"error", read_error},
  {"done", read_done},           {"idle", read_idle},
};

} // namespace

expected<any_event> parse_event(std::string_view line) {
  const auto malformed = [&](const std::string& why) {
    return fail(error_code::malformed, "[events] line of a node program: " + why + ": got `"
                                         + std::string(line.substr(0, 120))
                                         + "`; is it a troupe-node of this version?");
  };
  const auto fields = json::parse(line, nullptr, false);
  if (!fields.is_object() || !fields.contains("event") || !fields["event"].is_string())
    return malformed("no JSON object with an event name");
  const auto name = fields["event"].get<std::string>();
  const auto found = readers.find(name);
  if (found == readers.end()) return unknown_event{name};
  try {
    return found->second(fields);
  } catch (const json::exception& problem) {
    return malformed(problem.what());
  }
}

error_code error_code_named(std::string_view name) {
  static const std::map<std::string_view, error_code> codes = {
    {"usage", error_code::usage},           {"not_found", error_code::not_found},
    {"malformed", error_code::malformed},   {"over_limit", error_code::over_limit},
    {"mismatch", error_code::mismatch},     {"unavailable", error_code::unavailable},
    {"run_failed", error_code::run_failed}, {"internal", error_code::internal},
  };
  const auto found = codes.find(name);
  return found == codes.end() ? error_code::internal : found->second;
}

// ---- line_buffer ----------------------------------------------------------------------------------------------------

bool line_buffer::append(std::string_view bytes) {
  if (begin_ > 0) {
    text_.erase(0, begin_);
    begin_ = 0;
  }
  text_ += bytes;
  if (text_.size() <= line_bytes_max || text_.find('\n') <= line_bytes_max) return true;
  text_.clear();
  return false;
}

bool line_buffer::next(std::string& line) {
  const auto end = text_.find('\n', begin_);
  if (end == std::string::npos) return false;
  line.assign(text_, begin_, end - begin_);
  begin_ = end + 1;
  return true;
}

std::string line_buffer::rest() {
  auto left = text_.substr(begin_);
  text_.clear();
  begin_ = 0;
  return left;
}

} // namespace troupe::launcher
