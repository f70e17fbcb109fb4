#pragma once

#include "messages/error.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// What node processes tell the launcher: one JSON object per line on an inherited file descriptor
/// (`--events-fd`),
/// {"event": "step", …}. launcher/README.md lists them all. Fields that are missing keep their defaults;
/// unknown fields and unknown events are skipped, so that a node program may say more than this launcher
/// knows.
namespace troupe::launcher {

/// Rows per expert, one list per MoE layer.
using rows_per_expert = std::vector<std::vector<std::uint64_t>>;

/// The head takes joiners at this address.
struct listening_event {
  std::string host;
  std::uint16_t port = 0;
  std::string run_id;
};

/// A node of the run changed its state: joined, draining, left or lost.
struct node_event {
  std::uint32_t node = 0;
  std::string name;
  std::string state;
  std::string reason;
};

/// From a joining process itself: it has been let in.
struct joined_event {
  std::uint32_t node = 0;
  std::string name; ///< the one asked for may have been taken
  std::string run_id;
};

struct start_event {
  std::uint64_t train_steps = 0;
  std::uint64_t steps_per_epoch = 0;
  std::string aux_name; ///< the balance loss that a step's `aux` is; empty: none is measured
};

/// A loss of the router, unscaled.
struct measured_loss {
  double value = 0;
  double at_balance = 0; ///< its value when every expert gets the same
};

/// One training step has ended. Means over the step; `expert_rows` counts its (token, slot) pairs.
struct step_event {
  std::uint64_t step = 0; ///< steps done, 1-based
  std::uint64_t of = 0;
  std::uint64_t epoch = 0; ///< 0-based
  double loss = 0;
  std::optional<double> aux;
  double z = 0;
  double learning_rate = 0;
  double samples_per_second = 0; ///< not a number before the second step: not measured yet
  rows_per_expert expert_rows;
  double entropy = 0;
  std::uint64_t dead_experts = 0;
  std::uint64_t bytes_sent = 0;
  std::map<std::string, measured_loss> losses; ///< of the last step only
};

struct evaluation_event {
  double accuracy = 0; ///< share of the rows, 0 to 1
  double loss = 0;
  std::uint64_t rows = 0;
  std::uint64_t epoch = 0; ///< epochs trained so far
  rows_per_expert expert_rows;
};

/// The nodes without which the run can go on now, by name: they have no experts.
struct idle_event {
  std::vector<std::string> names;
};

struct digest_event {
  std::string sha256;
};

struct saved_event {
  std::string directory;
};

struct warning_event {
  std::string text;
};

/// Why the process is about to end. `code` decides the launcher's exit code.
struct error_event {
  error_code code = error_code::internal;
  std::string text;
};

struct done_event {
  double seconds = 0;
  double samples_per_second = 0; ///< not a number in a run of one step: not measured
};

/// An event of a newer node program.
struct unknown_event {
  std::string name;
};

using any_event =
  std::variant<unknown_event, listening_event, node_event, joined_event, idle_event, start_event, step_event,
               evaluation_event, digest_event, saved_event, warning_event, error_event, done_event>;

/// Reads one line. Errors: `malformed` with the start of the line when it is no JSON object, has no event
/// name, or a field has another type than it should.
expected<any_event> parse_event(std::string_view line);

/// `usage`, `not_found`, … as in `error_code`; anything else is `internal`.
error_code error_code_named(std::string_view name);

/// Cuts a stream of bytes into lines. Bounded: a line longer than `line_bytes_max` is refused.
class line_buffer {
public:
  static constexpr std::size_t line_bytes_max = std::size_t{16} << 20; ///< rows of 1,024 layers × 4,096
                                                                       ///< experts fit

  /// False when the line under way has grown beyond the bound; it is dropped then.
  bool append(std::string_view bytes);
  /// Takes the next whole line, without its end; false when there is none yet.
  bool next(std::string& line);
  /// Takes what is left after the last line end (the stream has ended).
  std::string rest();

private:
  std::string text_;
  std::size_t begin_ = 0;
};

} // namespace troupe::launcher
