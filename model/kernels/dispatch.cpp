#include "model/kernels/kernels.hpp"
#include "model/kernels/tables.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <type_traits>

namespace troupe {

namespace {

template <class Real>
using table_pointer = const kernels<Real>*;

/// Narrowest first; `count` of them run here.
template <class Real>
struct candidates {
  std::array<table_pointer<Real>, 3> tables{};
  std::size_t count = 0;

  void add(table_pointer<Real> table) { tables[count++] = table; }
};

template <class Real>
candidates<Real> find_candidates() {
  constexpr bool single = std::is_same_v<Real, float>;
  const auto pick = [](const kernels<float>& f32, const kernels<double>& f64) -> table_pointer<Real> {
    if constexpr (single)
      return &f32;
    else
      return &f64;
  };
  candidates<Real> result;
  result.add(pick(kernels_portable_f32, kernels_portable_f64));
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    result.add(pick(kernels_avx2_f32, kernels_avx2_f64));
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
      && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    result.add(pick(kernels_avx512_f32, kernels_avx512_f64));
#endif
  return result;
}

template <class Real>
const candidates<Real>& all() {
  static const auto found = find_candidates<Real>();
  return found;
}

template <class Real>
table_pointer<Real> choose() {
  const auto tables = runnable_kernels<Real>();
  if (const char* wanted = std::getenv("TROUPE_KERNELS"))
    for (auto* table : tables)
      if (table->name == wanted) return table;
  return tables.back();
}

} // namespace

template <class Real>
std::span<const kernels<Real>* const> runnable_kernels() noexcept {
  const auto& found = all<Real>();
  return {found.tables.data(), found.count};
}

template <class Real>
const kernels<Real>& best_kernels() noexcept {
  static const auto chosen = choose<Real>();
  return *chosen;
}

template std::span<const kernels<float>* const> runnable_kernels() noexcept;
template std::span<const kernels<double>* const> runnable_kernels() noexcept;
template const kernels<float>& best_kernels() noexcept;
template const kernels<double>& best_kernels() noexcept;

} // namespace troupe
