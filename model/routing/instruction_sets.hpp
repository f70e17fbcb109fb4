#pragma once

// For .cpp files that are compiled without contraction: one kernel source, run with the widest vectors there
// are.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#define TROUPE_INLINE_KERNEL inline __attribute__((always_inline))

namespace troupe {

// Vectors of 16, 32 and 64 bytes. Element-wise operations give the same bits in all of them.
using floats4 = float __attribute__((vector_size(16)));
using floats8 = float __attribute__((vector_size(32)));
using floats16 = float __attribute__((vector_size(64)));

template <class Vector>
inline constexpr int lanes_of = sizeof(Vector) / 4;

template <class Vector, class T>
TROUPE_INLINE_KERNEL Vector load(const T* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

template <class T, class Vector>
TROUPE_INLINE_KERNEL void store(T* to, Vector v) {
  std::memcpy(to, &v, sizeof v);
}

#if defined(__x86_64__)

template <class Kernel, class... Args>
[[gnu::target("avx2")]] void run_avx2(Args... args) {
  Kernel::template run<floats8>(args...);
}

template <class Kernel, class... Args>
[[gnu::target("avx512f")]] void run_avx512(Args... args) {
  Kernel::template run<floats16>(args...);
}

inline int widest_vector_bytes() {
  const char* named = std::getenv("TROUPE_KERNELS");
  const std::string_view most = named == nullptr ? "" : named;
  if (most == "portable") return 16;
  if (__builtin_cpu_supports("avx512f") && most != "avx2") return 64;
  return __builtin_cpu_supports("avx2") ? 32 : 16;
}

/// Of the widest instruction set that this processor has, or a narrower one that TROUPE_KERNELS names.
inline int vector_bytes() {
  static const int bytes = widest_vector_bytes();
  return bytes;
}

#else

inline int vector_bytes() {
  return 16;
}

#endif

/// Runs `Kernel::run<Vector>(args...)` with the widest vectors of this processor.
template <class Kernel, class... Args>
void run_widest(Args... args) {
#if defined(__x86_64__)
  if (vector_bytes() == 64) return run_avx512<Kernel>(args...);
  if (vector_bytes() == 32) return run_avx2<Kernel>(args...);
#endif
  Kernel::template run<floats4>(args...);
}

} // namespace troupe
