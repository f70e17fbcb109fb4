#pragma once

#include "model/configuration.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// Watches one layer's loads for a collapse of its routing: experts without a token, or nearly all tokens at
/// few more experts than each token is sent to: e^(load entropy) ≤ min(2k, (E + k)/3). An expert that most
/// tokens choose beside varying others is no collapse.
///
/// It judges windows of steps, never a single one: at least `window_steps`, and so many that every expert
/// would have got `window_rows` tokens at balance. With fewer an idle expert may be chance, as with more
/// experts than rows per step. It speaks when two windows in a row look like that, and once.
class collapse_watch {
public:
  static constexpr std::uint64_t window_steps = 100;
  static constexpr double window_rows = 30; ///< a fair router leaves an expert out with probability e^-30

  explicit collapse_watch(router_options router) : router_(std::move(router)) {
    // nop
  }

  /// Tokens per expert of one training step, before dropping. Returns one line with the remedy when it is
  /// time.
  std::optional<std::string> take(std::span<const std::uint64_t> counts);

private:
  bool window_collapsed() const;
  std::string warning() const;
  std::string remedy() const;
  /// Whether the configuration allows a larger k with this router.
  bool takes_more_experts_per_token() const;
  double coefficient_of(const std::string& loss) const; ///< 0 if there is no such loss
  /// `flag` with a value that may help: three times `now`, or at first `least`.
  static std::string raised(const std::string& flag, double now, double least);

  router_options router_;
  std::vector<std::uint64_t> sum_; ///< [E] of this window
  std::uint64_t steps_ = 0;        ///< in this window
  bool suspected_ = false;         ///< by the window before
  bool told_ = false;
};

} // namespace troupe
