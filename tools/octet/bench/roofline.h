// SPDX-License-Identifier: Apache-2.0
//
// The bound of a shape: no call is faster than its products at the measured peak, nor than its
// bytes at the measured read bandwidth of the memory that they come from.
#pragma once

#include <cstdint>
#include <string>

#include "shapes.h"

namespace octet_cli {

enum class Level { kL1, kL2, kL3, kDram };
const char* level_name(Level level);

struct Caches {
  int64_t l1 = 0, l2 = 0, l3 = 0;  // bytes, of all threads that take part together
};

struct Bandwidth {
  double l1 = 0, l2 = 0, l3 = 0, dram = 0;  // bytes per second, all threads together

  double of(Level level) const;
};

// The smallest units that an instruction set computes: products beyond the shape's own, up to a
// whole unit, cost as much as the others.
struct Granule {
  int64_t m = 1, n = 16, k = 4;
};

// A panel is 16 columns, but for kernels that take columns one by one; a step of K takes kr bytes,
// 64 for a tile of AMX, whose row count costs in eights.
Granule granule_of(const std::string& isa, int64_t nr, int64_t kr);

// What one call reads and writes, each matrix once.
struct Traffic {
  int64_t weights = 0, in = 0, out = 0;  // bytes
  bool cold = false;                     // the weights come from DRAM
};

struct Bound {
  double compute = 0, memory = 0;  // seconds
  Level level = Level::kL1;        // where the weights live

  double seconds() const { return compute > memory ? compute : memory; }
  // "compute" or the name of the level.
  std::string by() const { return compute >= memory ? "compute" : level_name(level); }
};

// peak: multiply-adds count two, per second; 0: not known, and compute is then 0.
double compute_seconds(const Shape& shape, const Granule& granule, double peak);

// Warm calls find each matrix where it fits beside those that are smaller: the smallest is nearest.
Bound bound_of(const Shape& shape, const Granule& granule, double peak, const Traffic& traffic,
               const Caches& caches, const Bandwidth& bandwidth);

}  // namespace octet_cli
