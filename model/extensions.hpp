#pragma once

#include "messages/error.hpp"
#include "messages/ids.hpp"
#include "model/configuration.hpp"
#include "model/data_source.hpp"
#include "model/expert.hpp"
#include "model/factory.hpp"
#include "model/numerics.hpp"
#include "model/routing/router.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace troupe {

/// Makes a custom router for E experts. Rows are f32 or f64 (`model.precision`), so both are given.
struct router_extension {
  std::function<expected<std::unique_ptr<router<float>>>(const router_options&, std::uint32_t experts)>
    make_f32;
  std::function<expected<std::unique_ptr<router<double>>>(const router_options&, std::uint32_t experts)>
    make_f64;
};

/// The extension of a rule `template <class Real> class Rule`, whose constructor takes the options.
template <template <class> class Rule>
router_extension make_router_extension() {
  return {[](const router_options& o, std::uint32_t) { return std::make_unique<Rule<float>>(o); },
          [](const router_options& o, std::uint32_t) { return std::make_unique<Rule<double>>(o); }};
}

/// Makes expert number `owner_id::expert`, of hidden width `config.model.hidden_size_of` that number: the
/// shared expert is wider than the others.
using expert_extension =
  std::function<expected<std::unique_ptr<expert_module>>(const configuration&, const model_shape&, owner_id)>;

using data_extension = std::function<expected<std::shared_ptr<const data_source>>(const configuration&)>;

/// What a program adds to the standard parts. A name that a standard part has already is refused by
/// `validate`.
struct extensions {
  std::map<std::string, expert_extension> experts; ///< for `--expert NAME`
  std::map<std::string, router_extension> routers; ///< for `--router NAME`
  std::map<std::string, data_extension> data_sets; ///< for `--data NAME`
  numerics_libraries libraries;                    ///< that these parts compute with
};

/// Like `validate(config)` and `validate(config, options)`, knowing the names that the program adds.
expected<void> validate(const configuration& config, const extensions& more);
expected<void> validate(const configuration& config, const run_options& options, const extensions& more);

/// `shape_of` for a process that only hosts experts: opens no files where the data set's name says its widths
/// (fashion-mnist, gaussian), so that such a machine needs no data.
expected<model_shape> shape_without_files(const configuration& config, const model_factory& factory);

} // namespace troupe
