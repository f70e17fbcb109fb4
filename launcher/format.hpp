#pragma once

#include "launcher/events.hpp"
#include "launcher/terminal.hpp"

#include <cstdint>
#include <string>
#include <vector>

/// Events as text for people. Pure functions.
namespace troupe::launcher {

/// 81234.0 → "81.2k", 950 → "950", 1234567 → "1.23M".
std::string short_count(double value);
/// 60000 → "60,000".
std::string grouped_count(std::uint64_t value);
/// 1 → "1 cell", 2000 → "2,000 cells".
std::string counted(std::uint64_t value, const std::string& noun);
/// 3.4 MiB, 512 B.
std::string byte_count(std::uint64_t bytes);
/// 42 → "42s", 192 → "3m12s", 3700 → "1h01m".
std::string duration(double seconds);

/// `Step 100 | Loss: 0.4821 | Aux Loss: 1.0312 | LR: 1.00e-03 | 81.2k samples/s`. A balance loss other than
/// `switch` is named, `Aux Loss (variance): 0.0125`; without one its field is left out, and so is a rate that
/// is not known yet.
std::string step_line(const step_event& step, const std::string& aux_name);
/// `Router losses of the last step: switch 1.0312 (1 at balance), z 1.9412 (1.922 at balance)`; empty without
/// losses.
std::string losses_line(const step_event& step);
/// `Epoch 1 | Test accuracy: 0.8431 | Test loss: 0.4432 | 10,000 rows`; after a run of `steps` that ends
/// inside an epoch, `Epoch 2 (step 30 of 469) | …`. Epochs count from 1, as in the live display.
std::string evaluation_line(const evaluation_event& evaluation, std::uint64_t steps,
                            std::uint64_t steps_per_epoch);

/// Rows, share and a bar per expert; with a title and a line about balance.
std::vector<std::string> load_table(const rows_per_expert& rows, bool utf8);

/// What the live display shows: progress with step, epoch, loss, rate and time left, then the load of the
/// experts. What does not fit into the columns is left out whole. `seconds_left` < 0: not known yet.
std::vector<std::string> live_lines(const step_event& step, const start_event& start, double seconds_left,
                                    std::size_t columns, bool utf8);

} // namespace troupe::launcher
