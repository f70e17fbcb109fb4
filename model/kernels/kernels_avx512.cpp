#include "model/kernels/kernels.hpp"
#include "model/kernels/tables.hpp"

#include <immintrin.h>

#include "model/kernels/kernels_body.inc"

constinit const kernels<float> kernels_avx512_f32 = table<float>("avx512");
constinit const kernels<double> kernels_avx512_f64 = table<double>("avx512");

} // namespace troupe
