#pragma once

#include "launcher/ablate/summary.hpp"

#include <string>

namespace troupe::ablate {

/// An ablation as one HTML page that needs nothing else: styles, scripts and data are in it, and its content
/// security policy forbids it to load anything. The page is a function of the ablation alone.
std::string html_report(const ablation& all);

/// What the page shows, as JSON that is safe inside a script element.
std::string report_data(const ablation& all);

} // namespace troupe::ablate
