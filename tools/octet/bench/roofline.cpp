// SPDX-License-Identifier: Apache-2.0
#include "bench/roofline.h"

#include <algorithm>
#include <array>

namespace octet_cli {
namespace {

int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

Level level_of(int64_t bytes, const Caches& caches) {
  if (bytes <= caches.l1) return Level::kL1;
  if (bytes <= caches.l2) return Level::kL2;
  return bytes <= caches.l3 ? Level::kL3 : Level::kDram;
}

}  // namespace

const char* level_name(Level level) {
  constexpr const char* kNames[] = {"L1", "L2", "L3", "DRAM"};
  return kNames[static_cast<size_t>(level)];
}

double Bandwidth::of(Level level) const {
  const double values[] = {l1, l2, l3, dram};
  return values[static_cast<size_t>(level)];
}

Granule granule_of(const std::string& isa, int64_t nr, int64_t kr) {
  if (isa == "amx") return {8, 16, 64};
  return {1, nr == 1 ? 1 : 16, std::max<int64_t>(kr, 1)};
}

double compute_seconds(const Shape& shape, const Granule& granule, double peak) {
  if (peak <= 0) return 0;
  return 2.0 * static_cast<double>(round_up(shape.m, granule.m)) *
         static_cast<double>(round_up(shape.n, granule.n)) *
         static_cast<double>(round_up(shape.k, granule.k)) / peak;
}

Bound bound_of(const Shape& shape, const Granule& granule, double peak, const Traffic& traffic,
               const Caches& caches, const Bandwidth& bandwidth) {
  Bound bound;
  bound.compute = compute_seconds(shape, granule, peak);
  struct Matrix {
    int64_t bytes;
    bool weights;
  };
  std::array<Matrix, 3> matrices = {
      {{traffic.weights, true}, {traffic.in, false}, {traffic.out, false}}};
  std::sort(matrices.begin(), matrices.end(), [](const Matrix& a, const Matrix& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.weights && !b.weights;
  });
  int64_t together = 0;
  for (const Matrix& matrix : matrices) {
    Level level = Level::kDram;
    if (!matrix.weights || !traffic.cold) level = level_of(together += matrix.bytes, caches);
    if (matrix.weights) bound.level = level;
    if (bandwidth.of(level) > 0)
      bound.memory += static_cast<double>(matrix.bytes) / bandwidth.of(level);
  }
  return bound;
}

}  // namespace octet_cli
