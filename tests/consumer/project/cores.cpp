#include "actors/host/core.hpp"
#include "messages/tensor.hpp"

int main() {
  auto rows = troupe::tensor::zeros(troupe::dtype::f32, {2, 3});
  troupe::host_core host{troupe::host_settings{}};
  return rows.bytes() == 24 && host.experts().empty() ? 0 : 1;
}
