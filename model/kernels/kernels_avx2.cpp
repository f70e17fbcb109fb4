#include "model/kernels/kernels.hpp"
#include "model/kernels/tables.hpp"

#include <immintrin.h>

#include "model/kernels/kernels_body.inc"

constinit const kernels<float> kernels_avx2_f32 = table<float>("avx2");
constinit const kernels<double> kernels_avx2_f64 = table<double>("avx2");

} // namespace troupe
