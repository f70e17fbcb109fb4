#include "model/kernels/kernels.hpp"
#include "model/kernels/tables.hpp"

#include "model/kernels/kernels_body.inc"

constinit const kernels<float> kernels_portable_f32 = table<float>("portable");
constinit const kernels<double> kernels_portable_f64 = table<double>("portable");

} // namespace troupe
