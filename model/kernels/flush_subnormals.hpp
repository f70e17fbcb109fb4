#pragma once

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <cstdint>

namespace troupe {

/// While it lives, this thread's arithmetic treats subnormal numbers as 0. Moments and activations that have
/// decayed below 1e-38 change nothing, but cost a hundred times more to compute with. One bracket per public
/// call of an expert or optimizer, so that a result never depends on how the thread was set up.
class flush_subnormals {
public:
#if defined(__SSE2__)
  flush_subnormals() noexcept : before_(_mm_getcsr()) {
    _mm_setcsr(before_ | 0x8040u); // flush to zero, denormals are zero
  }
  ~flush_subnormals() {
    _mm_setcsr(before_);
  }
#elif defined(__aarch64__)
  flush_subnormals() noexcept {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(before_ | (std::uint64_t{1} << 24)));
  }
  ~flush_subnormals() {
    asm volatile("msr fpcr, %0" : : "r"(before_));
  }
#else
  flush_subnormals() noexcept {
    // nop
  }
#endif

  flush_subnormals(const flush_subnormals&) = delete;
  flush_subnormals& operator=(const flush_subnormals&) = delete;

private:
#if defined(__SSE2__)
  unsigned before_ = 0;
#elif defined(__aarch64__)
  std::uint64_t before_ = 0;
#endif
};

} // namespace troupe
