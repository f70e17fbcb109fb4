#pragma once

#include "model/kernels/kernels.hpp"

namespace troupe {

// One table per instruction set and type; see `best_kernels`. The avx tables exist on x86-64 only.
extern const kernels<float> kernels_portable_f32;
extern const kernels<double> kernels_portable_f64;
extern const kernels<float> kernels_avx2_f32;
extern const kernels<double> kernels_avx2_f64;
extern const kernels<float> kernels_avx512_f32;
extern const kernels<double> kernels_avx512_f64;

} // namespace troupe
