#include "model/routing/losses.hpp"

#include "model/routing/loss_makers.hpp"

#include <cmath>
#include <numeric>

namespace troupe {

namespace {

tl::unexpected<error> refuse(const std::string& what, const std::string& got, const std::string& limit) {
  return fail(error_code::usage, "[loss] " + what + ": got " + got + ", limit " + limit);
}

bool reads_k(const std::string& name) {
  return name != "first_choice" && name != "z" && name != "variance" && name != "importance";
}

expected<void> check(const loss_formula& f, std::int64_t experts) {
  const bool spread = f.name == "variance" || f.name == "importance" || f.name == "load"
                      || f.name == "tutel_load_importance";
  if (spread && experts < 2)
    return refuse("experts with loss " + f.name, std::to_string(experts),
                  "2 or more (a variance needs two values)");
  const auto most = f.name == "load" ? experts - 1 : experts;
  if (reads_k(f.name) && (f.k < 1 || f.k > most))
    return refuse("k of loss " + f.name, std::to_string(f.k), "1 to " + std::to_string(most));
  if (f.name == "sequence" && f.sequence_length < 1)
    return refuse("rows of a sequence", std::to_string(f.sequence_length), "1 or more");
  if (f.name == "tutel_load_importance" && !(std::isfinite(f.noise) && f.noise > 0))
    return refuse("noise of loss tutel_load_importance", std::to_string(f.noise), "a finite number above 0");
  for (const auto n : f.rows)
    if (n < 1) return refuse("rows of a block", std::to_string(n), "1 or more");
  return {};
}

} // namespace

template <class Real>
expected<std::unique_ptr<router_loss<Real>>> make_loss(const loss_formula& f, std::int64_t experts) {
  if (auto good = check(f, experts); !good) return tl::unexpected(good.error());
  if (f.name == "switch" || f.name == "sequence") return make_switch_loss<Real>(f, 1.0);
  if (f.name == "first_choice") return make_switch_loss<Real>(loss_formula{.name = f.name, .k = 1}, 1.0);
  if (f.name == "hf")
    return make_switch_loss<Real>(loss_formula{.name = f.name, .k = f.k}, static_cast<double>(f.k));
  if (f.name == "z") return make_z_loss<Real>();
  if (f.name == "variance") return make_variance_loss<Real>();
  if (f.name == "nanomoe") return make_nanomoe_loss<Real>(f.k);
  if (f.name == "importance") return make_importance_loss<Real>();
  if (f.name == "load") return make_load_loss<Real>(f.k, f.noise_floor);
  if (f.name == "tutel_load_importance") return make_tutel_loss<Real>(f.k, f.noise);
  return refuse("name", "'" + f.name + "'",
                "switch | first_choice | hf | sequence | z | variance | nanomoe | importance | load | "
                "tutel_load_importance");
}

double value_at_balance(const loss_formula& f, std::int64_t experts) {
  if (f.name == "switch" || f.name == "sequence" || f.name == "first_choice") return 1;
  if (f.name == "hf" || f.name == "nanomoe") return static_cast<double>(f.k);
  if (f.name == "z") return std::log(static_cast<double>(experts)) * std::log(static_cast<double>(experts));
  return 0;
}

template expected<std::unique_ptr<router_loss<float>>> make_loss(const loss_formula&, std::int64_t);
template expected<std::unique_ptr<router_loss<double>>> make_loss(const loss_formula&, std::int64_t);

} // namespace troupe
