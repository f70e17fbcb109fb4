#include "model/numerics.hpp"

#include "model/fixed_numbers.hpp"
#include "model/kernels/flush_subnormals.hpp"
#include "model/kernels/kernels.hpp"

#include <gnu/libc-version.h>

#include <algorithm>
#include <cmath>
#include <span>

namespace troupe {

void prepare_compute_thread(const numerics_libraries& libraries, std::uint32_t intra_op_threads) {
  for (const auto& [name, library] : libraries) library.prepare_thread(intra_op_threads);
}

namespace {

template <class Real>
void absorb(sha256& hash, std::span<const Real> values) {
  hash.update(std::as_bytes(values));
}

/// Our own kernels: the same bits for every instruction set, unless a compiler breaks that promise.
template <class Real>
void absorb_kernels(sha256& hash) {
  const auto& k = best_kernels<Real>();
  constexpr std::ptrdiff_t in = 50, width = 112, rows_max = 67;
  const auto x = fixed_numbers<Real>(rows_max * 64, 1);
  const auto w = fixed_numbers<Real>(in * width, 2);
  aligned_buffer<Real> y(rows_max * width), h(rows_max * width), g(in * width), m(in * width), v(in * width);
  auto p = fixed_numbers<Real>(in * width, 3);
  for (const std::ptrdiff_t rows : {1, 2, 3, 4, 5, 64, 67}) {
    const auto count = rows * width;
    k.multiply({x.data(), 64}, w.data(), {y.data(), width}, rows, in, width, false);
    for (auto* activation : {k.relu, k.silu, k.gelu}) {
      activation(y.data(), h.data(), count);
      absorb<Real>(hash, h.span());
    }
    for (auto* backward : {k.relu_backward, k.silu_backward, k.gelu_backward})
      backward(y.data(), h.data(), count);
    k.multiply_transposed({x.data(), 64}, {h.data(), width}, g.data(), rows, in, width, rows != 1);
    k.adam(p.data(), g.data(), m.data(), v.data(), in * width,
           {Real(0.5), Real(0.01), Real(0.999), Real(0.9), Real(0.1), Real(0.99), Real(0.01), Real(0.003),
            Real(1.5), Real(1e-8)});
    absorb<Real>(hash, p.span());
  }
}

/// The mathematical library: initialisation and random numbers, gelu, learning rates, bias correction.
void absorb_library(sha256& hash) {
  const auto x = fixed_numbers<double>(512, 4);
  aligned_buffer<double> out(512 * 8);
  for (std::size_t i = 0; i < 512; ++i) {
    const auto a = x.data()[i];
    const double values[] = {std::exp(a),
                             std::log(std::abs(a) + 0.1),
                             std::sqrt(std::abs(a)),
                             std::sin(3 * a),
                             std::cos(3 * a),
                             std::erfc(2 * a),
                             std::pow(0.999, 100 * std::abs(a)),
                             static_cast<double>(std::erfc(static_cast<float>(a)))};
    std::copy(std::begin(values), std::end(values), out.data() + i * 8);
  }
  absorb<double>(hash, out.span());
}

std::string description(const numerics_libraries& libraries) {
  auto text = "kernels " + std::string(best_kernels<float>().name) + ", C library " + gnu_get_libc_version()
              + ", compiler " __VERSION__;
  for (const auto& [name, library] : libraries) text += ", " + name + " " + library.description();
  return text;
}

} // namespace

fingerprint numerics_fingerprint(const numerics_libraries& libraries) {
  sha256 hash;
  hash.update("troupe numerics 2");
  {
    const flush_subnormals bracket;
    absorb_kernels<float>(hash);
    absorb_kernels<double>(hash);
  }
  absorb_library(hash);
  for (const auto& [name, library] : libraries) {
    hash.update(name);
    library.battery(hash);
  }
  return {hash.hex(), description(libraries)};
}

} // namespace troupe
