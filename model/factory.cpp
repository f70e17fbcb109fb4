#include "model/factory.hpp"

#include "model/catch_failures.hpp"
#include "model/data/data_sets.hpp"
#include "model/experts/mlp_expert.hpp"
#include "model/extensions.hpp"
#include "model/trunks/classifier_dense.hpp"
#include "model/trunks/classifier_trunk.hpp"

#include <exception>
#include <memory>
#include <new>
#include <string>

namespace troupe {

namespace {

/// Runs what a program added: an exception of its becomes an error value.
template <class T, class Make>
expected<T> guarded(const std::string& kind, const std::string& name, const Make& make) {
  const auto complain = [&](const std::string& what) {
    return fail(error_code::internal, "[" + kind + " '" + name + "'] making it: got " + what
                                        + ", limit a value; see the program that adds it");
  };
  try {
    auto made = make();
    if (made && *made == nullptr) return complain("null");
    return made;
  } catch (const std::bad_alloc&) {
    return tl::unexpected(failure_in_flight(kind + " '" + name + "'"));
  } catch (const std::exception& problem) {
    return complain(problem.what());
  }
}

expected<data_set> make_data(const configuration& config, const extensions& more) {
  const auto i = more.data_sets.find(config.data.name);
  if (i == more.data_sets.end()) return open_data(config);
  return guarded<data_set>("data set", i->first, [&] { return i->second(config); });
}

expected<std::unique_ptr<expert_module>> make_expert(const configuration& config, const model_shape& shape,
                                                     owner_id owner, bool unset, const extensions& more) {
  const auto& kind = config.model.expert_kind;
  if (kind == "mlp")
    return unset ? make_unset_mlp_expert(config, shape, owner) : make_mlp_expert(config, shape, owner);
  const auto i = more.experts.find(kind);
  if (i == more.experts.end())
    return fail(error_code::usage, "--expert: got '" + kind + "', limit mlp and what the program adds");
  return guarded<std::unique_ptr<expert_module>>("expert", kind,
                                                 [&] { return i->second(config, shape, owner); });
}

expected<std::unique_ptr<dense_module>> make_dense(const configuration& config, const model_shape& shape,
                                                   std::uint16_t stage, const extensions& more) {
  if (stage != 0)
    return fail(error_code::over_limit,
                "[dense] stage: got " + std::to_string(stage) + ", limit 0: the classifier has one");
  return make_classifier_dense(config, shape, more);
}

} // namespace

model_factory standard_factory() {
  return standard_factory(extensions{});
}

model_factory standard_factory(const extensions& more) {
  const auto kept = std::make_shared<const extensions>(more);
  model_factory factory;
  factory.make_data = [kept](const configuration& config) {
    return catch_failures("data set", [&] { return make_data(config, *kept); });
  };
  factory.make_trunk = [kept](const configuration& config, const model_shape& shape) {
    return catch_failures("trunk", [&] { return make_classifier_trunk(config, shape, *kept); });
  };
  factory.make_dense = [kept](const configuration& config, const model_shape& shape, std::uint16_t stage) {
    return catch_failures("dense part", [&] { return make_dense(config, shape, stage, *kept); });
  };
  const auto expert_maker = [kept](bool unset) {
    return [kept, unset](const configuration& config, const model_shape& shape, owner_id owner) {
      return catch_failures("expert " + std::to_string(owner.expert),
                            [&] { return make_expert(config, shape, owner, unset, *kept); });
    };
  };
  factory.make_expert = expert_maker(false);
  factory.make_unset_expert = expert_maker(true);
  return factory;
}

} // namespace troupe
