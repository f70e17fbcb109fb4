#include "model/numerics.hpp"

#include "model/kernels/aligned_buffer.hpp"
#include "model/kernels/flush_subnormals.hpp"
#include "model/kernels/kernels.hpp"
#include "model/sha256.hpp"
#include "model/torch_border.hpp"

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/log.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sum.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <c10/core/InferenceMode.h>
#include <gnu/libc-version.h>
#include <torch/version.h>

#include <cmath>
#include <cstdlib>
#include <memory>
#include <span>
#include <type_traits>

namespace troupe {

void prepare_compute_thread(std::uint32_t intra_op_threads) {
  abort_on_torch_error("compute thread", [&] {
    at::set_num_threads(static_cast<int>(intra_op_threads)); // per thread: a fresh one would take every core
    at::globalContext().setFlushDenormal(false);
    thread_local const c10::InferenceMode for_good(true);
  });
}

namespace {

/// Numbers in (-2, 2) that no library computes: the same on every machine.
template <class Real>
aligned_buffer<Real> numbers(std::size_t count, std::uint32_t seed) {
  aligned_buffer<Real> result(count);
  std::uint32_t state = seed * 2654435761u + 12345u;
  for (auto& v : result.span()) {
    state = state * 1664525u + 1013904223u;
    v = static_cast<Real>(static_cast<std::int32_t>(state >> 8) - (1 << 23)) * static_cast<Real>(0x1p-22);
  }
  return result;
}

void absorb(sha256& hash, const at::Tensor& value) {
  const auto dense = value.contiguous();
  hash.update({static_cast<const std::byte*>(dense.const_data_ptr()), dense.nbytes()});
}

template <class Real>
void absorb(sha256& hash, std::span<const Real> values) {
  hash.update(std::as_bytes(values));
}

template <class Real>
at::Tensor matrix(aligned_buffer<Real>& memory, std::int64_t rows, std::int64_t columns) {
  constexpr auto type = std::is_same_v<Real, float> ? at::kFloat : at::kDouble;
  return at::from_blob(memory.data(), {rows, columns}, at::TensorOptions().dtype(type));
}

/// LibTorch as routers and trunks use it: products of few and many rows, softmax and friends, sums.
template <class Real>
void absorb_torch(sha256& hash) {
  for (const std::int64_t width : {10, 50, 64}) {
    auto w = numbers<Real>(static_cast<std::size_t>(width) * 784, 7);
    auto b = numbers<Real>(static_cast<std::size_t>(width), 8);
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 31, 64, 130}) {
      auto x = numbers<Real>(static_cast<std::size_t>(rows) * 784, static_cast<std::uint32_t>(rows));
      const auto y = at::addmm(matrix(b, 1, width), matrix(x, rows, 784), matrix(w, width, 784).t());
      absorb(hash, y);
      absorb(hash, at::mm(y.t(), matrix(x, rows, 784)));
      absorb(hash, at::softmax(y, 1));
      absorb(hash, at::log_softmax(y, 1));
      absorb(hash, at::logsumexp(y, {1}));
      absorb(hash, at::sum(y, {0}));
      absorb(hash, at::sum(y));
      const auto s = at::sigmoid(y);
      absorb(hash, s);
      absorb(hash, at::exp(s));
      absorb(hash, at::log(s));
      absorb(hash, at::index_select(y, 0, at::arange(rows - 1, rows)));
    }
  }
}

/// Our own kernels: the same bits for every instruction set, unless a compiler breaks that promise.
template <class Real>
void absorb_kernels(sha256& hash) {
  const auto& k = best_kernels<Real>();
  constexpr std::ptrdiff_t in = 50, width = 112, rows_max = 67;
  const auto x = numbers<Real>(rows_max * 64, 1);
  const auto w = numbers<Real>(in * width, 2);
  aligned_buffer<Real> y(rows_max * width), h(rows_max * width), g(in * width), m(in * width), v(in * width);
  auto p = numbers<Real>(in * width, 3);
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
  const auto x = numbers<double>(512, 4);
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

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return std::string(name) + "=" + (value == nullptr ? "(unset)" : value);
}

} // namespace

std::string numerics_description() {
  return "LibTorch " TORCH_VERSION " (" + at::get_cpu_capability() + "), kernels "
         + std::string(best_kernels<float>().name) + ", C library " + gnu_get_libc_version()
         + ", compiler " __VERSION__ ", intra-op threads " + std::to_string(at::get_num_threads()) + ", "
         + environment("MKL_CBWR");
}

fingerprint numerics_fingerprint() {
  return abort_on_torch_error("numerics fingerprint", [] {
    const c10::InferenceMode no_gradients;
    sha256 hash;
    hash.update("troupe numerics 1, LibTorch " TORCH_VERSION);
    absorb_torch<float>(hash);
    absorb_torch<double>(hash);
    {
      const flush_subnormals bracket;
      absorb_kernels<float>(hash);
      absorb_kernels<double>(hash);
    }
    absorb_library(hash);
    return fingerprint{hash.hex(), numerics_description()};
  });
}

} // namespace troupe
