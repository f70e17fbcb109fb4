#pragma once

#include "launcher/ablate/summary.hpp"

#include <string>

/// An ablation as text for programs and people. Pure functions.
namespace troupe::ablate {

/// CSV (RFC 4180) with a row per cell, then one per refused combination: axes, state (finished, failed, not
/// run, refused), measures with their values at balance, steps, digest, hash, error. Numbers in the shortest
/// form that reads back as the same; what is missing is empty.
std::string cells_csv(const ablation& all);
/// A row per group: axes, cells, finished, then mean and standard deviation of each measure.
std::string groups_csv(const ablation& all);
/// The groups as a Markdown table with aligned columns: mean ± standard deviation over the seeds.
std::string groups_table(const ablation& all);
/// How many combinations were refused, and why: a line per group, `groups_max` at most. Empty without any.
std::string refused_text(const std::vector<refused_cell>& refused, std::size_t groups_max);
/// One line: how many cells warned, and the first warning. Empty without any.
std::string warnings_text(const ablation& all);

} // namespace troupe::ablate
