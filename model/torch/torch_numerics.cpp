#include "model/torch/torch_numerics.hpp"

#include "model/fixed_numbers.hpp"

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
#include <torch/version.h>

#include <cstdlib>
#include <type_traits>

namespace troupe {

namespace {

void prepare_thread(std::uint32_t intra_op_threads) {
  at::set_num_threads(static_cast<int>(intra_op_threads)); // per thread: a fresh one would take every core
  at::globalContext().setFlushDenormal(false);
  thread_local const c10::InferenceMode for_good(true);
}

void absorb(sha256& hash, const at::Tensor& value) {
  const auto dense = value.contiguous();
  hash.update({static_cast<const std::byte*>(dense.const_data_ptr()), dense.nbytes()});
}

template <class Real>
at::Tensor matrix(aligned_buffer<Real>& memory, std::int64_t rows, std::int64_t columns) {
  constexpr auto type = std::is_same_v<Real, float> ? at::kFloat : at::kDouble;
  return at::from_blob(memory.data(), {rows, columns}, at::TensorOptions().dtype(type));
}

/// LibTorch as experts use it: products of few and many rows, softmax and friends, sums.
template <class Real>
void absorb_torch(sha256& hash) {
  for (const std::int64_t width : {10, 50, 64}) {
    auto w = fixed_numbers<Real>(static_cast<std::size_t>(width) * 784, 7);
    auto b = fixed_numbers<Real>(static_cast<std::size_t>(width), 8);
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 31, 64, 130}) {
      auto x = fixed_numbers<Real>(static_cast<std::size_t>(rows) * 784, static_cast<std::uint32_t>(rows));
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

void run_battery(sha256& hash) {
  const c10::InferenceMode no_gradients;
  hash.update(TORCH_VERSION);
  absorb_torch<float>(hash);
  absorb_torch<double>(hash);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return std::string(name) + "=" + (value == nullptr ? "(unset)" : value);
}

std::string description() {
  return std::string(TORCH_VERSION) + " (" + at::get_cpu_capability() + "), intra-op threads "
         + std::to_string(at::get_num_threads()) + ", " + environment("MKL_CBWR");
}

} // namespace

void use_torch(numerics_libraries& libraries) {
  libraries["LibTorch"] = {prepare_thread, description, run_battery};
}

} // namespace troupe
