#include "conformance/layer_model.hpp"

namespace troupe::conformance {

namespace {

layer_settings read_settings(const options& o) {
  return {o.object("router"), o.text("activation"), o.object("capacity"), o.object("losses")};
}

} // namespace

values layer(const options& o, const values& in) {
  o.allow({"router", "activation", "capacity", "losses"});
  layer_model model(read_settings(o), in);
  return model.run(true);
}

values sgd(const options& o, const values& in) {
  o.allow({"router", "activation", "capacity", "losses", "lr", "steps", "clip", "max_norm"});
  layer_model model(read_settings(o), in);
  const auto steps = o.integer("steps", 0);
  std::vector<double> losses;
  for (std::int64_t i = 0; i <= steps; ++i) {
    model.run(i < steps);
    losses.push_back(model.loss());
    if (i < steps)
      model.step(o.number("lr"), o.text("clip"), o.text("clip") == "none" ? 0 : o.number("max_norm"));
  }
  return {{"losses", numbers({steps + 1}, losses)}};
}

} // namespace troupe::conformance
