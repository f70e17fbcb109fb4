#include "model/trunks/slot_sums.hpp"

#include "messages/check.hpp"

#include <string>

namespace troupe {

template <class Real>
std::vector<const Real*> rows_of_slots(const tensor& experts, const slot_rows& outputs, std::int64_t width) {
  const auto chosen = experts.as<std::int32_t>();
  const auto place = outputs.positions.as<std::int32_t>();
  TROUPE_CHECK(chosen.size() == place.size(), "positions: got " + std::to_string(place.size()) + ", expected "
                                                + std::to_string(chosen.size()));
  struct part {
    const Real* data = nullptr;
    std::int64_t rows = 0;
  };
  std::vector<part> parts;
  for (const auto& p : outputs.parts) {
    if (!p.present() || p.rows() == 0) {
      parts.push_back({});
      continue;
    }
    TROUPE_CHECK(p.row_elements() == width, "row width: got " + std::to_string(p.row_elements())
                                              + ", expected " + std::to_string(width));
    parts.push_back({p.as<Real>().data(), p.rows()});
  }
  std::vector<const Real*> out(chosen.size());
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i] < 0) continue;
    const auto e = static_cast<std::size_t>(chosen[i]);
    TROUPE_CHECK(e < parts.size() && place[i] >= 0 && place[i] < parts[e].rows,
                 "row " + std::to_string(place[i]) + " of expert " + std::to_string(e) + " is not there");
    out[i] = parts[e].data + place[i] * width;
  }
  return out;
}

template <class Real>
void combine_slots(std::span<const Real* const> rows, std::span<const Real> gates, std::int64_t slots,
                   std::int64_t width, std::span<Real> y) {
  const auto tokens = static_cast<std::int64_t>(y.size()) / width;
  for (std::int64_t t = 0; t < tokens; ++t) {
    Real* to = y.data() + t * width;
    for (std::int64_t c = 0; c < width; ++c) to[c] = 0;
    for (std::int64_t i = t * slots; i < (t + 1) * slots; ++i)
      for (std::int64_t c = 0; rows[i] != nullptr && c < width; ++c) to[c] += gates[i] * rows[i][c];
  }
}

template <class Real>
void gate_gradients(std::span<const Real* const> rows, std::span<const Real> dy, std::int64_t slots,
                    std::int64_t width, std::span<Real> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Real* d = dy.data() + static_cast<std::int64_t>(i) / slots * width;
    Real sum = 0;
    for (std::int64_t c = 0; rows[i] != nullptr && c < width; ++c) sum += d[c] * rows[i][c];
    out[i] = sum;
  }
}

#define TROUPE_INSTANTIATE(Real)                                                                             \
  template std::vector<const Real*> rows_of_slots(const tensor&, const slot_rows&, std::int64_t);            \
  template void combine_slots(std::span<const Real* const>, std::span<const Real>, std::int64_t,             \
                              std::int64_t, std::span<Real>);                                                \
  template void gate_gradients(std::span<const Real* const>, std::span<const Real>, std::int64_t,            \
                               std::int64_t, std::span<Real>);
TROUPE_INSTANTIATE(float)
TROUPE_INSTANTIATE(double)
#undef TROUPE_INSTANTIATE

} // namespace troupe
