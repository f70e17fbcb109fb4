#include "model/factory.hpp"

int main() {
  troupe::configuration config;
  config.data.name = "gaussian";
  auto factory = troupe::standard_factory();
  auto data = factory.make_data(config);
  if (!data) return 1;
  auto shape = troupe::shape_of(config, **data);
  if (!shape) return 1;
  auto expert = factory.make_expert(config, *shape, {});
  return expert && !(*expert)->parameters().empty() ? 0 : 1;
}
