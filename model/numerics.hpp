#pragma once

#include "model/sha256.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace troupe {

/// A library that added parts compute with, such as LibTorch (model/torch/): what it asks of threads, and
/// what of it decides the bits. The standard parts need none.
struct numerics_library {
  std::function<void(std::uint32_t intra_op_threads)> prepare_thread; ///< on every compute thread, once
  std::function<std::string()> description;                           ///< version and settings, in words
  std::function<void(sha256&)> battery; ///< adds the results of fixed operations on fixed numbers
};

/// By name.
using numerics_libraries = std::map<std::string, numerics_library>;

/// Sets the calling thread up for computing. Every compute thread calls it once before its first job.
void prepare_compute_thread(const numerics_libraries& libraries, std::uint32_t intra_op_threads);

/// SHA-256 over a fixed battery of operations, and the versions and instruction sets behind it in words.
/// Machines that differ in it would not compute the same bits.
struct fingerprint {
  std::string hex;
  std::string text;
};

/// Runs the battery on the calling thread, which should be prepared for computing.
fingerprint numerics_fingerprint(const numerics_libraries& libraries);

} // namespace troupe
